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
import sys
from pathlib import Path

import cv2
from tqdm import tqdm

from superres.files import check_folder, image_format, read_image, save_image
from superres.frames import upscale_frames
from superres.gif_reader import open_gif, read_gif
from superres.gif_writer import save_gif
from superres.inference import check, upscale
from superres.network import SCALE
from superres.weights import load_generator

__all__ = [
    "SCALE", "apply_srcnn", "apply_srgan", "bicubic_downscale", "bicubic_upscale",
    "load_generator", "read_gif", "read_image", "save_gif", "save_image", "upscale_frames",
]  # fmt: skip


def apply_srgan(image, generator=None, *, dtype="float32", progress=False):
    """Enlarge an image four times with SRGAN's generator (Ledig et al. 2017).

    image: uint8 in [0, 255], RGB (h, w, 3); grey (h, w) and RGBA (h, w, 4) work as well.
    generator: a model or what ``load_generator`` takes; None is the bundled SRGAN.
    dtype: "float32", or "bfloat16", which is faster on processors with AMX and differs by about a grey level; SRCNN
    runs in float32 either way.
    progress: show a progress bar.

    Returns uint8 (4h, 4w, ...) of the same kind, clipped and rounded. Raises ValueError for any other array or dtype.
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
    """Enlarge a uint8 image (h, w[, 3 or 4]) ``scale`` times each way: ``cv2.resize`` with INTER_CUBIC."""
    check(image)
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)


def bicubic_downscale(image, scale=SCALE):
    """Reduce a uint8 image (h, w[, 3 or 4]) to (h // scale, w // scale): ``cv2.resize`` with INTER_CUBIC.

    This is the assignment's step. It does not smooth first, so fine detail turns into aliasing.
    """
    check(image)
    height, width = (length // scale for length in image.shape[:2])
    if not height or not width:
        raise ValueError(f"cannot reduce an image of {image.shape[1]}x{image.shape[0]} pixels {scale} times")
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)


def method_function(method):
    """An image-to-image function by its name: "bicubic", or what ``load_generator`` takes."""
    if method == "bicubic":
        return bicubic_upscale
    return functools.partial(apply_srgan, generator=load_generator(method))


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="srgan.py", description="Enlarge an image or a GIF four times.")
    parser.add_argument("input", type=Path, help="image or GIF")
    parser.add_argument("output", type=Path, nargs="?", help="default: INPUT_METHOD_x4.png, or .gif, beside the input")
    parser.add_argument(
        "--method", default="srgan", metavar="METHOD",
        help="srgan (default), srresnet, srcnn, bicubic, srgan:ALPHA between srresnet (0) and srgan (1), "
        "a weights file, or hf://OWNER/REPO/FILE",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    try:
        print(upscale_file(options.input, options.output, options.method))
    except (ValueError, OSError) as error:
        parser.exit(2, f"srgan.py: {error}\n")
    except KeyboardInterrupt:
        parser.exit(130, "srgan.py: interrupted, nothing written\n")


def upscale_file(source, target=None, method="srgan"):
    """Enlarge an image or GIF file into another; returns the path written."""
    is_gif = source.suffix.lower() == ".gif"
    name = "".join(c if c.isalnum() or c in ".-" else "_" for c in Path(method).stem)
    target = target or source.with_name(f"{source.stem}_{name}_x4{'.gif' if is_gif else '.png'}")
    if is_gif != (target.suffix.lower() == ".gif"):
        raise ValueError(f"{target}: a GIF becomes a GIF and an image an image, but the input is {source}")
    check_folder(target)
    image_format(target)
    if is_gif:
        gif = open_gif(source)
        upscale = method_function(method)
        frames = tqdm(upscale_frames(gif, upscale), total=len(gif), unit="frame")
        save_gif(target, frames, gif.durations, gif.loop)
    else:
        image = read_image(source)
        upscale = method_function(method)
        save_image(target, upscale(image) if method == "bicubic" else upscale(image, progress=True))
    return target


if __name__ == "__main__":
    sys.exit(main())
