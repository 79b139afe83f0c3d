"""Reading and writing image files. A file is written whole or not at all."""

import contextlib
import io
import os
import secrets
import stat
import struct
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from superres import one_line
from superres.image import MAX_PIXELS, check_image, check_size, to_uint8

# Pillow's own limit on reading is smaller than a 12-megapixel photograph x4.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS

# Largest width or height in pixels of formats whose encoders do not say so clearly.
LONGEST_SIDE = {"GIF": 65535, "JPEG": 65500, "WEBP": 16383}

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PIXEL_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}

# TIFF tags, and the sample format that means unsigned integers.
BITS_PER_SAMPLE, SAMPLE_FORMAT, UNSIGNED = 258, 339, 1


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read an image file as uint8 sRGB (h, w, 3), or RGBA (h, w, 4) if any pixel is transparent.

    Rotated as its EXIF data says, and converted to sRGB by its ICC profile. Grey values of 16 bits keep their upper 8.
    Those of 32 bits are scaled from the smallest range that holds them: [0, 1] (floats only), 8, 16 or 32 bits; in a
    PGM from 16 bits, in a PFM from [0, 1]. Warns if frames after the first, EXIF data or the ICC profile are ignored.

    Raises FileNotFoundError; ValueError if the file is not an image, empty, damaged, truncated, or too large.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such image file")
    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            return to_array(load(file, path), path)
        except UnidentifiedImageError as error:
            raise ValueError(f"{path}: not an image (or an empty file): expected PNG, JPEG or the like") from error
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise ValueError(f"{path}: the image is too large: expected at most {MAX_PIXELS:,} pixels") from error
        except MemoryError as error:
            raise ValueError(f"{path}: the image is too large for this machine's memory") from error
        except Exception as error:  # Pillow's decoders raise exceptions of many types
            raise ValueError(f"{path}: the image is damaged or cut short: {one_line(error)}") from error


def load(file, path):
    """A Pillow image with its pixels loaded and rotated as its EXIF data says."""
    try:
        image = load_pixels(file)
    except Exception as error:
        image = load_damaged_png(file, path, error)
    # The other images of an MPO (some cameras' JPEG) are previews, those of a PSD its layers.
    if getattr(image, "is_animated", False) and image.format not in ("MPO", "PSD"):
        warnings.warn(f"{path}: only the first of several frames is read", stacklevel=4)
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception as error:
        warnings.warn(f"{path}: the EXIF data are damaged: {one_line(error)}", stacklevel=4)
    return image


def load_pixels(file):
    """A Pillow image with its pixels loaded."""
    image = Image.open(file)
    if image.format == "PNG" and "transparency" in image.info:
        image.info["transparency"] = transparent_value(image.info["transparency"], image.tile[0][-1])
    image.load()
    return image


def transparent_value(value, raw_mode):
    """The transparent grey value or colour of a PNG in 8 bits; Pillow converts only the pixels to 8 bits."""
    if raw_mode == "RGB;16B":
        return tuple(channel >> 8 for channel in value)
    if raw_mode in ("1", "L;2", "L;4"):
        return min(value * 255 // (2 ** int(raw_mode[-1]) - 1), 255)  # recent versions give 255 for 1 bit
    return value


def load_damaged_png(file, path, error):
    """A Pillow image of a PNG that Pillow refused for its text or metadata. Raises ``error`` if it is not a PNG."""
    file.seek(0)
    png = file.read()
    if not png.startswith(PNG_SIGNATURE):
        raise error
    try:  # without text, whose length Pillow limits
        return load_pixels(io.BytesIO(png_with(png, {*PIXEL_CHUNKS, b"iCCP", b"eXIf"})))
    except Exception:
        image = load_pixels(io.BytesIO(png_with(png, PIXEL_CHUNKS)))
        warnings.warn(f"{path}: colour profile and EXIF data are ignored: {one_line(error)}", stacklevel=5)
        return image


def png_with(png, names):
    """The bytes of a PNG without chunks of other names."""
    kept, position = [PNG_SIGNATURE], len(PNG_SIGNATURE)
    while position + 8 <= len(png):
        length, name = struct.unpack_from(">I4s", png, position)
        end = position + 12 + length
        if name in names:
            kept.append(png[position:end])
        position = end
    return b"".join(kept)


def to_array(image, path):
    """A loaded Pillow image as an array, as in ``read_image``."""
    profile, is_grey = image.info.get("icc_profile"), Image.getmodebase(image.mode) == "L"
    alpha = None
    if image.mode[0] in "IF":
        image, alpha = to_8_bits(image)
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"))
    if profile:
        image = to_srgb(image, profile, is_grey, path)
    rgb = np.array(image.convert("RGB"))
    return rgb if alpha is None or alpha.min() == 255 else np.dstack([rgb, alpha])


def to_8_bits(image):
    """A grey Pillow image of 16 or 32 bits in 8 bits, as in ``read_image``, and its alpha, uint8 (h, w) or None."""
    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    transparent = image.info.get("transparency")
    alpha = None if transparent is None else np.where(values == transparent, 0, 255).astype(np.uint8)
    if image.format == "TIFF" and image.mode == "I" and tags.get(SAMPLE_FORMAT, (UNSIGNED,)) == (UNSIGNED,):
        values = values.view(np.uint32)
    values = np.where(np.isnan(values), 0, values)
    largest = values.max(where=np.isfinite(values), initial=0)
    if image.mode == "F" and (image.format == "PPM" or largest <= 1):
        levels = 255 * values.clip(0, 1)
    else:
        if image.mode.startswith("I;16"):
            (bits,) = tags.get(BITS_PER_SAMPLE, (16,))
        else:
            bits = 16 if image.format == "PPM" else next((bits for bits in (8, 16) if largest < 2**bits), 32)
        levels = values // 2 ** (bits - 8)
    return Image.fromarray(to_uint8(levels)), alpha


def to_srgb(image, profile, is_grey, path):
    """The image converted to sRGB by its ICC profile; unchanged if the profile is damaged or for another mode."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = profile.profile.xcolor_space.strip()
        fits = {"RGB": image.mode != "CMYK", "GRAY": is_grey, "CMYK": image.mode == "CMYK"}
        if not fits.get(space):
            raise ValueError(f"it is for {space}, the image is {image.mode}")
        image = image.convert("L" if space == "GRAY" else space)
        return ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except Exception as error:
        warnings.warn(f"{path}: the colour profile is ignored: {one_line(error)}", stacklevel=4)
        return image


def save_image(path: str | os.PathLike, image: np.ndarray) -> None:
    """Write a uint8 image, grey (h, w), RGB (h, w, 3) or RGBA (h, w, 4), in the format of the path's suffix.

    JPEG is written at quality 95. An alpha channel that is 255 everywhere is left out.

    Raises ValueError for any other array, and as ``check_output``; OSError if the disk is full, say.
    """
    check_image(image)
    if image.shape[2:] == (4,) and image[..., 3].min() == 255:
        image = image[..., :3]
    check_output(path, image.shape)
    with atomic_write(path) as file:
        try:
            Image.fromarray(image).save(file, image_format(path), quality=95)
        except Exception as error:
            if isinstance(error, OSError) and error.errno:  # an error of the system, not of the format
                raise
            raise ValueError(f"{path}: cannot write an image of shape {image.shape}: {one_line(error)}") from error


def check_output(path: str | os.PathLike, shape: tuple[int, ...]) -> None:
    """Check that an image of this shape, (h, w), (h, w, 3) or (h, w, 4), can be written to ``path`` and read again.

    Raises OSError as ``check_target``; ValueError if the path's suffix is unknown, or if its format cannot hold alpha
    or an image of this size.
    """
    check_target(path)
    format = image_format(path)
    height, width, *channels = shape
    check_size(path, width, height)
    if max(width, height) > LONGEST_SIDE.get(format, np.inf):
        raise ValueError(
            f"{path}: too large: {width}x{height} pixels, and {format} holds at most {LONGEST_SIDE[format]} each way"
        )
    mode = "RGBA" if channels == [4] else "RGB"
    for size in ((width, 1), (1, height)):
        try:
            file = io.BytesIO()
            Image.new(mode, size).save(file, format)
            with Image.open(file) as back:
                back.load()
                if back.size != size or back.has_transparency_data != (mode == "RGBA"):
                    raise ValueError("what is written is not what is read again")
        except Exception as error:
            kind = f"{width}x{height} pixels{' with transparency' if mode == 'RGBA' else ''}"
            raise ValueError(f"{path}: {format} cannot hold an image of {kind}: {one_line(error)}") from error


def image_format(path: str | os.PathLike) -> str:
    """Pillow's name of the format that the path's suffix stands for. Raises ValueError if there is none."""
    suffix = Path(path).suffix
    format = Image.registered_extensions().get(suffix.lower())
    if format not in Image.SAVE or format not in Image.OPEN:
        raise ValueError(f"{path}: cannot write images of type {suffix!r}: expected .png, .jpg, .webp or the like")
    return format


def check_target(path: str | os.PathLike) -> None:
    """Raise FileNotFoundError, IsADirectoryError or another OSError unless a file can be written to ``path``."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path}: a folder, expected the name of a file to write")
    if path.exists() and not path.is_file():
        raise OSError(f"{path}: a pipe or device, expected the name of a file to write")
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        raise FileNotFoundError(f"{path}: no such folder to write to: {folder if path.is_symlink() else path.parent}")
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(f"{path}: cannot write to the folder {path.parent}: {error.strerror}") from error


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike, overwrite: bool = True) -> Iterator[BinaryIO]:
    """Context manager of a binary file that replaces ``path`` at the end of the block. Raises as ``check_target``.

    If the block raises, KeyboardInterrupt included, ``path`` is unchanged and nothing else is left. A file that is
    replaced hands on its permissions, and of a symbolic link the target is replaced.

    overwrite: False raises FileExistsError where there is a file, be it one that has appeared during the block.

    Functions that want a path rather than a file may write to ``file.name``, which has the suffix of ``path``.
    """
    check_target(path)
    target = Path(os.path.realpath(path))
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else None
    temporary = target.with_name(f".{secrets.token_hex(8)}.unfinished{target.suffix}")

    def create(name, flags):
        return os.open(name, flags, 0o666 if mode is None else mode)

    try:
        with open(temporary, "xb", opener=create) as file:
            yield file
        if mode is not None:
            temporary.chmod(mode)
        move(temporary, target, overwrite)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def move(source, target, overwrite):
    """Rename a file. Raises FileExistsError where the target exists, unless it is to be replaced."""
    if not overwrite:
        try:
            os.link(source, target)  # unlike a rename, it never replaces what another process has written meanwhile
            os.unlink(source)
            return
        except FileExistsError:
            raise FileExistsError(f"{target}: exists already, written meanwhile") from None
        except OSError:  # a file system without links
            if target.exists():
                raise FileExistsError(f"{target}: exists already, written meanwhile") from None
    os.replace(source, target)
