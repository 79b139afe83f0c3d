"""Single-image super-resolution x4 with the SRGAN generator, for images and GIFs.

In Python:

    from srgan import apply_srgan, read_image, save_image
    save_image("photo_x4.png", apply_srgan(read_image("photo.jpg")))

On the command line:

    python srgan.py photo.jpg photo_x4.png
    python srgan.py clip.gif clip_x4.gif --method bicubic
"""

import argparse
import functools
import os
import signal
import sys
import warnings
from pathlib import Path

from tqdm import tqdm

from superres import quiet
from superres.files import MAX_PIXELS, check, check_output, check_target, image_format, one_line, read_image, save_image
from superres.frames import upscale_frames
from superres.gif_reader import open_gif, read_gif
from superres.gif_writer import save_gif
from superres.inference import bicubic, upscale
from superres.network import SCALE
from superres.weights import load_generator

__all__ = [
    "SCALE", "apply_srcnn", "apply_srgan", "bicubic_downscale", "bicubic_upscale",
    "load_generator", "read_gif", "read_image", "save_gif", "save_image", "upscale_frames",
]  # fmt: skip


def apply_srgan(image, generator=None, *, dtype="float32", progress=False):
    """Enlarge an image four times with SRGAN's generator (Ledig et al. 2017).

    image: uint8 in [0, 255], RGB (h, w, 3); grey (h, w) and RGBA (h, w, 4) work as well.
    generator: what ``load_generator`` takes, None for the bundled SRGAN, or a Keras model from RGB in [0, 255] of any
    size to the same x4 (or x1, as an SRCNN: it is given the image upscaled by bicubic interpolation). The project's
    topology runs in strips without seams, whatever its layers are called; any other in tiles that overlap by 32 pixels.
    dtype: "float32", or "bfloat16", which is faster on processors with AMX and differs by about a grey level; SRCNN
    runs in float32 either way.
    progress: show a progress bar.

    Returns uint8 (4h, 4w, ...) of the same kind, clipped and rounded. Raises ValueError for any other array, dtype or
    model.
    """
    check(image)
    if generator is None or isinstance(generator, str | os.PathLike):
        generator = load_generator("srgan" if generator is None else generator)
    return upscale(image, generator, dtype, progress)


def apply_srcnn(image, *, progress=False):
    """Enlarge an image four times by bicubic interpolation and refine it with SRCNN (Dong et al. 2014).

    Images as for ``apply_srgan``.
    """
    return apply_srgan(image, "srcnn", progress=progress)


def bicubic_upscale(image, scale=SCALE):
    """Enlarge a uint8 image (h, w[, 3 or 4]) ``scale`` times each way: ``cv2.resize`` with INTER_CUBIC.

    With alpha, colours are interpolated premultiplied by it.
    """
    check(image)
    return bicubic(image, fx=scale, fy=scale)


def bicubic_downscale(image, scale=SCALE):
    """Reduce a uint8 image (h, w[, 3 or 4]) to (h // scale, w // scale): ``cv2.resize`` with INTER_CUBIC.

    This is the assignment's step. It does not smooth first, so fine detail turns into aliasing. Alpha as in
    ``bicubic_upscale``.
    """
    check(image)
    height, width = (length // scale for length in image.shape[:2])
    if not height or not width:
        raise ValueError(f"cannot reduce an image of {image.shape[1]}x{image.shape[0]} pixels {scale} times")
    return bicubic(image, dsize=(width, height))


def method_function(method):
    """An image-to-image function by its name: "bicubic", or what ``load_generator`` takes."""
    if method == "bicubic":
        return bicubic_upscale
    return functools.partial(apply_srgan, generator=load_generator(method))


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="srgan.py", description="Enlarge an image or a GIF four times.")
    parser.add_argument("input", type=Path, help="image or GIF")
    parser.add_argument("output", type=Path, nargs="?", help="default: INPUT_METHOD_x4.png (or .gif) beside the input")
    parser.add_argument(
        "--method", default="srgan", metavar="METHOD",
        help="srgan (default), srresnet, srcnn, bicubic, srgan:ALPHA between srresnet (0) and srgan (1), "
        "a weights file, or hf://OWNER/REPO/FILE",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    try:
        print(upscale_file(options.input, options.output, options.method))
    except (ValueError, OSError, MemoryError) as error:
        parser.exit(2, f"srgan.py: {one_line(error)}\n")
    except KeyboardInterrupt:
        parser.exit(130, "srgan.py: interrupted, nothing written\n")


def upscale_file(source, target=None, method="srgan"):
    """Enlarge an image or GIF file into another; returns the path written.

    Whatever can be known before the network runs is checked before. Raises ValueError or OSError, naming the file.
    """
    is_gif = source.suffix.lower() == ".gif"
    if target is None:
        target = default_target(source, method)
        if target.exists():
            raise FileExistsError(f"{target}: exists already; name it as OUTPUT to replace it")
    if is_gif != (target.suffix.lower() == ".gif"):
        raise ValueError(f"{target}: a GIF becomes a GIF and an image an image, but the input is {source}")
    check_target(target)
    image_format(target)
    if is_gif:
        gif = read_quietly(open_gif, source)
        check_upscaled(source, target, (*gif.size[::-1], 4 if gif.transparent else 3))
        upscale = method_function(method)
        frames = tqdm(upscale_frames(gif, upscale), total=len(gif), unit="frame")
        save_gif(target, frames, gif.durations, gif.loop)
    else:
        image = read_quietly(read_image, source)
        check_upscaled(source, target, image.shape)
        upscale = method_function(method)
        save_image(target, upscale(image) if method == "bicubic" else upscale(image, progress=True))
    return target


def read_quietly(reader, source):
    """What ``reader`` makes of a file: its warnings as one line each, nothing of what decoders print by themselves."""
    with warnings.catch_warnings(record=True) as caught, quiet():
        content = reader(source)
    for warning in caught:
        print(f"srgan.py: warning: {one_line(warning.message)}", file=sys.stderr)
    return content


def default_target(source, method):
    """Where the result goes by default: photo.png to photo_srgan_x4.png, photo.jpg to photo.jpg_srgan_x4.png."""
    suffix = ".gif" if source.suffix.lower() == ".gif" else ".png"
    label = source.stem if source.suffix == suffix else source.name
    name = "".join(c if c.isalnum() or c in ".-" else "_" for c in Path(method).name)
    return source.with_name(f"{label}_{name}_x4{suffix}")


def check_upscaled(source, target, shape):
    """Raise ValueError unless the result for an image of this shape can be written to ``target`` and read again."""
    height, width, channels = shape
    limit = MAX_PIXELS // SCALE**2
    if height * width > limit:
        raise ValueError(f"{source}: too large to upscale: {width}x{height} pixels, expected at most {limit:,} in all")
    check_output(target, (height * SCALE, width * SCALE, channels))


if __name__ == "__main__":
    # SystemExit lets the unfinished output be removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main())
