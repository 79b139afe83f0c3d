"""Images from and to files: whole or not at all."""

import contextlib
import os
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError


def read_image(path):
    """An image file as RGB uint8 (h, w, 3), or RGBA (h, w, 4) where it has transparency, turned as its EXIF data says.

    Raises FileNotFoundError, or ValueError where the file is empty, cut short or no image.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such image file")
    try:
        with Image.open(path) as image:
            image = ImageOps.exif_transpose(image)
            if image.mode.startswith("I;16"):  # Pillow would clip 16 bits, not scale them
                image = Image.fromarray((np.array(image) >> 8).astype(np.uint8))
            return np.array(image.convert("RGBA" if image.has_transparency_data else "RGB"))
    except UnidentifiedImageError as error:
        raise ValueError(
            f"{path}: not an image (or an empty file): expected PNG, JPEG, WebP, GIF or the like"
        ) from error
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: the image is damaged or cut short: {error}") from error


def save_image(path, image):
    """Write a uint8 image, (h, w), (h, w, 3) or (h, w, 4), in the format of the path's suffix. JPEG at quality 95.

    Raises ValueError for a suffix that is no image format, or a format that cannot hold the image.
    """
    format = image_format(path)
    with atomic_write(path) as file:
        try:
            Image.fromarray(image).save(file, format, quality=95)
        except (OSError, ValueError) as error:
            raise ValueError(f"{path}: {format} cannot hold this image of shape {image.shape}: {error}") from error


def image_format(path):
    """Pillow's name of the format in which an image would be written to ``path``, judged by its suffix."""
    suffix = Path(path).suffix
    format = Image.registered_extensions().get(suffix.lower())
    if format not in Image.SAVE:
        raise ValueError(f"{path}: cannot write images of type {suffix!r}: expected .png, .jpg, .webp or the like")
    return format


def check_folder(path):
    """Raise FileNotFoundError unless the folder that ``path`` is to lie in exists."""
    if not Path(path).parent.is_dir():
        raise FileNotFoundError(f"{path}: no such folder to write to: {Path(path).parent}")


@contextlib.contextmanager
def atomic_write(path):
    """A binary file that takes the place of ``path`` when the block ends, and leaves nothing behind when it fails."""
    path = Path(path)
    check_folder(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        # mkstemp's mode is private; give the file what an ordinary new file has.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
