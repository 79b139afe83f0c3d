"""Single-image super-resolution x4 with the SRGAN generator, for images and GIFs.

In Python:

    from srgan import apply_srgan, read_image, save_image
    save_image("photo_x4.png", apply_srgan(read_image("photo.jpg")))

On the command line:

    python srgan.py photo.jpg photo_x4.png
    python srgan.py clip.gif clip_x4.gif --method bicubic
    python srgan.py photos/ -o upscaled/
"""

import os
import sys

if __name__ == "__main__":  # before the other imports, which take a second
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed: the next file opened would take its place, and what is meant for it
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    from superres.command.interruption import handle_signals

    handle_signals()

from superres import SCALE
from superres.clips.frames import upscale_frames
from superres.clips.reader import open_gif, read_gif
from superres.clips.writer import save_gif
from superres.command.cli import main
from superres.images.files import read_image, save_image
from superres.images.image import bicubic_downscale, bicubic_upscale, check_image

__all__ = [
    "SCALE", "apply_srcnn", "apply_srgan", "bicubic_downscale", "bicubic_upscale",
    "load_generator", "main", "open_gif", "read_gif", "read_image", "save_gif", "save_image", "trust_map",
    "upscale_frames",
]  # fmt: skip


def load_generator(source="srgan"):
    """The Keras model that ``source`` names: "srgan", "photo", "srresnet", "srcnn", "srgan:ALPHA", a weights file
    or "hf://OWNER/REPO/FILE". See ``superres.network.weights.load_generator``.

    >>> load_generator("srgan:0.5").output_shape
    (None, None, None, 3)
    """
    from superres.network import weights  # here, as in ``apply_srgan``: Keras and TensorFlow take seconds to import

    return weights.load_generator(source)


def apply_srgan(image, generator=None, *, dtype="auto", progress=False):
    """Enlarge an image four times with SRGAN's generator (Ledig et al. 2017).

    image: uint8 in [0, 255], RGB (h, w, 3); grey (h, w) and RGBA (h, w, 4) work as well.
    generator: what ``load_generator`` takes, None for the bundled SRGAN, or a Keras model from RGB in [0, 255] of any
    size to the same x4 (or x1, as an SRCNN: it is given the image upscaled by bicubic interpolation). The project's
    topology runs in strips without seams, whatever its layers are called; any other in tiles, which see 32
    pixels around them.
    dtype: that of the arithmetic: "float32"; "bfloat16", which differs by about a grey level; or "auto", bfloat16 where
    the processor has it and is about twice as fast with it (AVX512_BF16, AMX, a GPU), else float32. Other topologies
    than the project's, SRCNN's among them, run in float32 either way.
    progress: True shows a progress bar; a function is called with the number of output pixels that each step adds.

    Returns uint8 (4h, 4w, ...) of the same kind, clipped and rounded. Raises ValueError for any other array, dtype or
    model.

    >>> apply_srgan(np.zeros((12, 16, 3), np.uint8)).shape
    (48, 64, 3)
    """
    check_image(image)
    if generator is None or isinstance(generator, str | os.PathLike):
        from superres.network.weights import load_generator

        generator = load_generator("srgan" if generator is None else generator, shared=False)
    from superres.network.inference import upscale, upscaler_for

    return upscale(image, upscaler_for(generator, dtype), progress)


def apply_srcnn(image, *, progress=False):
    """Enlarge an image four times by bicubic interpolation and refine it with SRCNN (Dong et al. 2014).

    Images and progress as for ``apply_srgan``.

    >>> apply_srcnn(np.zeros((12, 16), np.uint8)).shape
    (48, 64)
    """
    return apply_srgan(image, "srcnn", progress=progress)


def trust_map(image, *, dtype="auto"):
    """Where SRGAN is likely to have invented detail: how far its result and SRResNet's differ.

    image, dtype: as for ``apply_srgan``. Returns float64 (h / 4, w / 4), rounded up: for each block of 16 pixels of the
    result the mean absolute difference in grey levels. It ranks the blocks by their likely error and does not measure
    it: on the notebook's pictures the true error is 1.5 to 5 times as large, and noise in the image spoils the ranking.

    >>> trust_map(np.zeros((12, 16, 3), np.uint8)).shape
    (3, 4)
    """
    from superres.images.measures import difference_map  # scikit-image and SciPy's statistics take a second

    return difference_map(*(apply_srgan(image, name, dtype=dtype) for name in ("srgan", "srresnet")))


if __name__ == "__main__":
    sys.exit(main())
