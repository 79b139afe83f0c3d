"""Images from and to files: whole or not at all."""

import contextlib
import io
import os
import struct
import tempfile
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

# The largest image that is read or written: 16384x16384, 1 GB in RGBA.
MAX_PIXELS = 2**28
# Pillow checks every size it reads against a limit of its own, which is lower than a 12-megapixel photograph x4.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS

# Width and height that a format can hold.
LONGEST_SIDE = {"AVIF": 65536, "GIF": 65535, "JPEG": 65500, "WEBP": 16383}

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PIXEL_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}

# TIFF tags, and the sample format of unsigned integers.
BITS_PER_SAMPLE, SAMPLE_FORMAT, UNSIGNED = 258, 339, 1


def check(image):
    """Raise ValueError unless the image is grey, RGB or RGBA, uint8, and not empty."""
    if not isinstance(image, np.ndarray):
        raise ValueError(f"expected an image as a NumPy array, got {type(image).__name__}")
    known = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))
    if image.dtype != np.uint8 or not known or not image.size:
        raise ValueError(
            f"expected a uint8 image of shape (h, w), (h, w, 3) or (h, w, 4), got {image.dtype} of shape {image.shape}"
        )


def check_size(path, width, height):
    """Raise ValueError where an image has more than ``MAX_PIXELS`` pixels."""
    if width * height > MAX_PIXELS:
        raise ValueError(f"{path}: too large: {width}x{height} pixels, expected at most {MAX_PIXELS:,} in all")


def read_image(path):
    """An image file as RGB uint8 (h, w, 3), or RGBA (h, w, 4) where some pixel is transparent.

    The image is turned as its EXIF data says, and converted to sRGB by its ICC profile. Of grey values of more than
    8 bits the upper 8 are kept. 32-bit values have the smallest of the ranges of 8, 16 and 32 bits that holds them all,
    floats also [0, 1]; in a PGM it is 16 bits, in a PFM [0, 1]. Only the first frame of an animation is read. Warns
    where a part of the file other than the pixels has to be ignored.

    Raises FileNotFoundError; or ValueError where the file is empty, no image, damaged, cut short, or larger than
    ``MAX_PIXELS``.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such image file")
    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            return to_array(load(file, path), path)
        except UnidentifiedImageError as error:
            raise ValueError(
                f"{path}: not an image (or an empty file): expected PNG, JPEG, WebP, GIF or the like"
            ) from error
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise ValueError(f"{path}: the image is too large: expected at most {MAX_PIXELS:,} pixels") from error
        except MemoryError as error:
            raise ValueError(f"{path}: the image is too large for this machine's memory") from error
        except Exception as error:  # Pillow's decoders raise anything
            raise ValueError(f"{path}: the image is damaged or cut short: {one_line(error)}") from error


def load(file, path):
    """A Pillow image, its pixels read and turned as its EXIF data says."""
    try:
        image = load_pixels(file)
    except Exception as error:
        image = load_damaged_png(file, path, error)
    # The other images in a camera's MPO are previews, those in a PSD its layers.
    if getattr(image, "is_animated", False) and image.format not in ("MPO", "PSD"):
        warnings.warn(f"{path}: only the first of several frames is read", stacklevel=4)
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception as error:
        warnings.warn(f"{path}: the EXIF data are damaged: {one_line(error)}", stacklevel=4)
    return image


def load_pixels(file):
    image = Image.open(file)
    if image.format == "PNG" and "transparency" in image.info:
        image.info["transparency"] = transparent_value(image.info["transparency"], image.tile[0][-1])
    image.load()
    return image


def transparent_value(value, raw_mode):
    """A PNG's transparent grey or colour in 8 bits: Pillow converts the pixels, but not this."""
    if raw_mode == "RGB;16B":
        return tuple(channel >> 8 for channel in value)
    if raw_mode in ("L;2", "L;4"):
        return value * 255 // (2 ** int(raw_mode[-1]) - 1)
    return value


def load_damaged_png(file, path, error):
    """A Pillow image of a PNG that Pillow refuses for its text or metadata; else raises ``error``."""
    file.seek(0)
    png = file.read()
    if not png.startswith(PNG_SIGNATURE):
        raise error
    try:  # Pillow limits the length of text
        return load_pixels(io.BytesIO(png_with(png, {*PIXEL_CHUNKS, b"iCCP", b"eXIf"})))
    except Exception:
        image = load_pixels(io.BytesIO(png_with(png, PIXEL_CHUNKS)))
        warnings.warn(f"{path}: colour profile and EXIF data are ignored: {one_line(error)}", stacklevel=5)
        return image


def png_with(png, names):
    """The bytes of a PNG with only the chunks of these names."""
    kept, position = [PNG_SIGNATURE], len(PNG_SIGNATURE)
    while position + 8 <= len(png):
        length, name = struct.unpack_from(">I4s", png, position)
        end = position + 12 + length
        if name in names:
            kept.append(png[position:end])
        position = end
    return b"".join(kept)


def to_array(image, path):
    """A loaded image as uint8, sRGB (h, w, 3), or RGBA (h, w, 4) where some pixel is transparent."""
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
    """A grey image of more than 8 bits, integer or float, as one of 8 bits, and its alpha or None. See `read_image`."""
    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    transparent = image.info.get("transparency")
    alpha = None if transparent is None else np.where(values == transparent, 0, 255).astype(np.uint8)
    if image.format == "TIFF" and image.mode == "I" and tags.get(SAMPLE_FORMAT, (UNSIGNED,)) == (UNSIGNED,):
        values = values.view(np.uint32)
    values = np.where(np.isnan(values), 0, values)
    largest = values.max(where=np.isfinite(values), initial=0)
    if image.mode == "F" and (image.format == "PPM" or largest <= 1):
        levels = np.round(255 * values.clip(0, 1))
    else:
        if image.mode.startswith("I;16"):
            (bits,) = tags.get(BITS_PER_SAMPLE, (16,))
        else:
            bits = 16 if image.format == "PPM" else next((bits for bits in (8, 16) if largest < 2**bits), 32)
        levels = np.clip(values // 2 ** (bits - 8), 0, 255)
    return Image.fromarray(levels.astype(np.uint8)), alpha


def to_srgb(image, profile, is_grey, path):
    """The image converted to sRGB by its ICC profile, or unchanged where the profile is damaged or of another kind."""
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


def one_line(error):
    return " ".join(str(error).split()) or type(error).__name__


def save_image(path, image):
    """Write a uint8 image, (h, w), (h, w, 3) or (h, w, 4), in the format of the path's suffix. JPEG at quality 95.

    An alpha that is 255 everywhere is left out. Raises ValueError for any other array, and as `check_output`.
    """
    check(image)
    if image.shape[2:] == (4,) and image[..., 3].min() == 255:
        image = image[..., :3]
    check_output(path, image.shape)
    with atomic_write(path) as file:
        try:
            Image.fromarray(image).save(file, image_format(path), quality=95)
        except Exception as error:
            if isinstance(error, OSError) and error.errno:  # the disk is full, say
                raise
            raise ValueError(f"{path}: cannot write an image of shape {image.shape}: {one_line(error)}") from error


def check_output(path, shape):
    """Raise unless an image of this shape, (h, w), (h, w, 3) or (h, w, 4), can be written to ``path`` and read again.

    Raises OSError as `check_target`; ValueError where the format of the path's suffix is unknown, or holds no alpha or
    no image as large as this.
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


def image_format(path):
    """Pillow's name of the format in which an image would be written to ``path``, judged by its suffix."""
    suffix = Path(path).suffix
    format = Image.registered_extensions().get(suffix.lower())
    if format not in Image.SAVE or format not in Image.OPEN:
        raise ValueError(f"{path}: cannot write images of type {suffix!r}: expected .png, .jpg, .webp or the like")
    return format


def check_target(path):
    """Raise FileNotFoundError, IsADirectoryError or another OSError unless a file can be written to ``path``."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path}: a folder, expected the name of a file to write")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: no such folder to write to: {path.parent}")
    try:
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise OSError(f"{path}: cannot write to the folder {path.parent}: {error.strerror}") from error


@contextlib.contextmanager
def atomic_write(path):
    """A binary file that takes the place of ``path`` when the block ends, and leaves nothing behind when it fails."""
    path = Path(path)
    check_target(path)
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
