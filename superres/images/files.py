"""Reading and writing image files. A file is written whole or not at all."""

import contextlib
import functools
import io
import os
import platform
import secrets
import stat
import tempfile
import threading
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from PIL.ExifTags import IFD, Base

from superres import one_line
from superres.images import formats
from superres.images.image import MAX_PIXELS, check_image, check_size, check_whole, to_uint8

# Pillow's names of what is read and written. Others, PostScript among them, would start other programs.
FORMATS = (
    "PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "HEIF", "JPEG2000", "PPM", "TGA", "PSD", "ICO", "ICNS", "MPO",
    "DIB", "DDS", "PCX", "QOI", "SGI", "XBM",
)  # fmt: skip

# TIFF tags, and the sample format that means unsigned integers.
SUBFILE_TYPE, BITS_PER_SAMPLE, SUB_IFDS, SAMPLE_FORMAT, UNSIGNED = 254, 258, 330, 339, 1

# Compressions of TIFF files that Pillow may have been built without.
RARE_COMPRESSIONS = {"webp", "zstd", "lzma"}

# Suffixes of formats that hold colour, which promise that there is none.
COLOURLESS_SUFFIXES = {".pgm", ".pbm", ".pfm", ".bw"}

# What a result keeps of a photograph's EXIF data. Makers' notes hold previews, and refer to places in their file.
KEPT_TAGS = (Base.ImageDescription, Base.Make, Base.Model, Base.DateTime, Base.Artist, Base.Copyright)
DROPPED_TAGS = {Base.MakerNote, Base.ExifImageWidth, Base.ExifImageHeight, Base.ExifInteroperabilityOffset}
LONGEST_EXIF = 65000  # bytes, which fit into a JPEG's segment
SRGB = 1  # a value of ColorSpace

HOST = f"{zlib.crc32(platform.node().encode()):08x}"  # in the names of unfinished files

_lock = threading.RLock()


class UnreadableError(Exception):
    """An image of a kind or size that cannot be read here."""


class ExifText(str):
    """Pillow would write it as ASCII."""

    def encode(self, *_):
        return super().encode("latin-1")


def read_image(path: str | os.PathLike, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read an image file as uint8 sRGB (h, w, 3), or RGBA (h, w, 4) if any pixel is transparent.

    Rotated as its EXIF data says, and converted to sRGB by its ICC profile. Grey values of 16 bits keep their upper 8.
    Those of 32 bits are scaled from the smallest range that holds them: [0, 1] (floats only), 8, 16 or 32 bits; in a
    PGM from 16 bits, in a PFM from [0, 1]. Warns if frames after the first, EXIF data, or a profile or other colours
    that a PNG states are ignored, and if a JPEG lacks its end or a part of its data.

    Raises FileNotFoundError or another OSError for what is no file; ValueError if the file is not an image, or one that
    is empty, damaged, truncated, of a kind that cannot be read here, or of more than ``max_pixels``.

    >>> save_image("grey.png", np.full((12, 16), 128, np.uint8))
    >>> read_image("grey.png").shape
    (12, 16, 3)
    """
    path = check_source(path)
    check_whole("max_pixels", max_pixels)
    notes = []
    with open(path, "rb") as file, refused_in_one_sentence(path, file, notes):
        array = to_array(load(file, max_pixels, notes.append), notes.append)
    for note in dict.fromkeys(notes):
        warnings.warn(f"{path}: {note}", stacklevel=2)
    return array


def check_kind(path: str | os.PathLike) -> None:
    """Raise ValueError unless a file is an image of a kind that can be read here, judged by its beginning."""
    notes = []
    with open(path, "rb") as file, refused_in_one_sentence(path, file, notes):
        open_readable(file, MAX_PIXELS, notes.append)


@contextlib.contextmanager
def refused_in_one_sentence(path, file, notes):
    """Whatever Pillow raises for an open file as a ValueError; ``notes`` are its warnings."""
    try:
        yield
    except UnidentifiedImageError as error:
        file.seek(0)
        raise ValueError(f"{path}: {refusal(file.read(64), notes)}") from error
    except UnreadableError as error:
        raise ValueError(f"{path}: {error}") from error
    except MemoryError as error:
        raise ValueError(f"{path}: the image is too large for this machine's memory") from error
    except Exception as error:  # Pillow's decoders raise exceptions of many types
        reason = "" if getattr(error, "errno", None) else f": {one_line(error)}"  # an offset that makes no sense
        raise ValueError(f"{path}: the image is damaged or cut short{reason}") from error


def refusal(head, notes):
    """Why Pillow does not open a file that begins with these bytes."""
    kind = formats.unreadable_kind(head)
    accepting = (Image.OPEN[name][1] for name in readable_formats())
    is_known = any(accepts and accepts(head.ljust(64, b" ")) is True for accepts in accepting)
    if (notes and head[:2] in (b"II", b"MM")) or (is_known and kind is None):
        return "the image is damaged or cut short"
    if kind is None:
        return "not an image (or an empty file): expected PNG, JPEG or the like"
    if kind == "HEIC" and "HEIF" not in readable_formats():
        kind = "HEIC: pip install pillow-heif"
    return f"an image of a kind that cannot be read here ({kind}): expected PNG, JPEG or the like"


def as_path(path: str | bytes | os.PathLike) -> Path:
    """The Path of a name. Raises ValueError for an empty one, or what is none."""
    try:
        name = os.fsdecode(path)
    except TypeError:
        name = ""
    if not name:
        raise ValueError(f"{path!r} is no file name: expected a path")
    return Path(name)


def check_source(path: str | os.PathLike) -> Path:
    """The Path of a file. Raises FileNotFoundError, IsADirectoryError or another OSError unless it is one."""
    path = as_path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path}: a folder, expected the name of an image file")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such image file{', but a link to nowhere' * path.is_symlink()}")
    if not path.is_file():
        raise OSError(f"{path}: a pipe or device, expected the name of an image file")
    return path


@functools.cache
def readable_formats() -> tuple[str, ...]:
    """Those of ``FORMATS`` that this Pillow reads, HEIF (HEIC) among them where pillow-heif is installed."""
    with contextlib.suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()
    Image.init()
    return tuple(format for format in FORMATS if format in Image.OPEN)


@contextlib.contextmanager
def pillow(note=lambda _: None):
    """Pillow without its limit on sizes, which a 12-megapixel photograph x4 exceeds. ``note`` takes its warnings.

    In one thread at a time, since limit and warnings are those of the whole process.
    """
    with _lock, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit
            for warning in caught:
                note(one_line(warning.message))


def load(file, max_pixels, note):
    """A Pillow image with its pixels loaded and rotated as its EXIF data says. ``note`` is called with warnings."""
    try:
        image = load_pixels(file, max_pixels, note)
    except UnreadableError:
        raise
    except Exception as error:
        image = load_damaged(file, max_pixels, note, error)
    else:
        if image.format in ("JPEG", "MPO") and (damage := formats.jpeg_damage(contents(file))):
            note(f"a part of it may be blank or wrong: {damage}")
    if image.format == "PNG":
        image.info["cicp"] = formats.png_cicp(file)
    with pillow(note):
        # The other images of an MPO (some cameras' JPEG) are previews, those of a PSD its layers.
        if getattr(image, "is_animated", False) and image.format not in ("MPO", "PSD"):
            note("only the first of several frames is read")
        try:
            exif = Image.Exif()
            exif.load(image.info.get("exif", b""))
            if Base.Orientation in exif:  # Pillow would also take that of XMP
                ImageOps.exif_transpose(image, in_place=True)
        except Exception as error:
            note(f"the EXIF data are damaged: {one_line(error)}")
    return image


def contents(file):
    file.seek(0)
    return file.read()


def open_readable(file, max_pixels, note):
    """A Pillow image whose pixels are not loaded. Raises UnreadableError for a kind or size that cannot be read."""
    if formats.is_raw(file.read(16)):
        raise UnreadableError("a camera's raw file: expected an image developed from it")
    with pillow(note):
        image = Image.open(file, formats=readable_formats())
    width, height = image.size
    if width * height > max_pixels:
        raise UnreadableError(f"the image is too large: {width}x{height} pixels, expected at most {max_pixels:,}")
    tags = getattr(image, "tag_v2", {})
    if tags.get(SUBFILE_TYPE, 0) & 1 and SUB_IFDS in tags:
        raise UnreadableError(
            "its first image is a thumbnail, as in a camera's raw file: expected one developed from it"
        )
    return image


def load_pixels(file, max_pixels, note=lambda _: None):
    """A Pillow image with its pixels loaded."""
    image = open_readable(file, max_pixels, note)
    if image.format == "PNG" and "transparency" in image.info:
        image.info["transparency"] = formats.transparent_value(image.info["transparency"], image.tile[0][-1])
    image.info.pop("xmp", None)  # Pillow would turn a TIFF by it, which editors that turn the pixels leave as it was
    try:
        image.load()
    except Exception as error:
        if image.format == "TIFF" and image.info.get("compression") in RARE_COMPRESSIONS:
            raise UnreadableError(f"a TIFF of a kind that cannot be read here: {image.info['compression']}") from error
        raise
    return image


def load_damaged(file, max_pixels, note, error):
    """A Pillow image of a PNG or JPEG that Pillow refused though every pixel is there. Raises ``error`` otherwise."""
    data = contents(file)
    if data.startswith(formats.PNG_SIGNATURE):
        image = load_pixels(io.BytesIO(formats.pixels_alone(data)), max_pixels)
        note(f"text, colour profile and EXIF data are ignored: {one_line(error)}")
        return image
    if data.startswith(formats.JPEG_START):
        ended = data.rstrip(b"\xff") + formats.JPEG_END
        if not formats.jpeg_damage(ended):
            note("its end marker is missing, and of a progressive JPEG perhaps some detail")
            return load_pixels(io.BytesIO(ended), max_pixels)
    raise error


def to_array(image, note):
    """A loaded Pillow image as an array, as in ``read_image``."""
    profile, alpha = image.info.get("icc_profile"), None
    is_grey = Image.getmodebase(image.mode) == "L"
    if image.format == "PNG" and (chunk := formats.other_colours(image.info)):
        note(f"the colours are taken for sRGB: its {chunk} chunk states others")
    if image.mode[0] in "IF":
        image, alpha = to_8_bits(image)
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"))
    if profile:
        image = profile_to_srgb(image, profile, is_grey, note)
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


def profile_to_srgb(image, profile, is_grey, note):
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
        note(f"the colour profile is ignored: {one_line(error)}")
        return image


def camera_data(path: str | os.PathLike) -> dict[int, object]:
    """The EXIF data for the result of an image file, by tag: camera, settings, date and place.

    It has no thumbnail and no orientation to turn by, and says sRGB where ``read_image`` converts to it. Empty without
    camera data that can be read.
    """
    with contextlib.suppress(Exception), pillow(), open(path, "rb") as file:  # damage, which read_image warns of
        image = Image.open(file, formats=readable_formats())
        source = image.getexif()
        settings = {tag: value for tag, value in source.get_ifd(IFD.Exif).items() if tag not in DROPPED_TAGS}
        if Base.ColorSpace in settings and "icc_profile" in image.info:
            settings[Base.ColorSpace] = SRGB
        groups = {IFD.Exif: settings, IFD.GPSInfo: source.get_ifd(IFD.GPSInfo)}
        tags = {tag: source[tag] for tag in KEPT_TAGS if tag in source} | {
            key: tags for key, tags in groups.items() if tags
        }
        if tags and len(as_exif(tags).tobytes()) <= LONGEST_EXIF:
            return tags | {Base.Orientation: 1}
    return {}


def as_exif(tags):
    exif = Image.Exif()
    exif.update(keeping_bytes(tags))
    return exif


def keeping_bytes(tags):
    """EXIF data whose text Pillow writes in the bytes that it has read as Latin-1, in whatever encoding they are."""
    kinds = {str: ExifText, dict: keeping_bytes}
    return {tag: kinds.get(type(value), lambda value: value)(value) for tag, value in tags.items()}


def software_of(path: str | os.PathLike) -> str | None:
    """What an image file names as its writer, in EXIF data or a GIF's comment; None if nothing."""
    with contextlib.suppress(Exception), pillow(), open(path, "rb") as file:
        image = Image.open(file, formats=readable_formats())
        return image.getexif().get(Base.Software) or image.info["comment"].decode()
    return None


def save_image(path: str | os.PathLike, image: np.ndarray, quality: int = 95) -> None:
    """Write a uint8 image, grey (h, w), RGB (h, w, 3) or RGBA (h, w, 4), in the format of the path's suffix.

    quality: of JPEG, WebP and AVIF, from 1 to 100. An alpha channel that is 255 everywhere is left out.

    Raises ValueError for any other array or quality, and as ``check_format``; OSError if it cannot be written there.

    >>> save_image("photo.webp", np.zeros((12, 16, 3), np.uint8), quality=80)
    >>> read_image("photo.webp").shape
    (12, 16, 3)
    """
    check_image(image)
    check_whole("quality", quality, most=100)
    image = without_opaque_alpha(image)
    check_format(path, image.shape)
    with atomic_write(path) as file:
        write_image(file, path, image, quality)


def without_opaque_alpha(image):
    return image[..., :3] if image.shape[2:] == (4,) and image[..., 3].min() == 255 else image


def write_image(file, path, image, quality, exif=None):
    """Write an image to an open file, in the format of the path's suffix. ``exif`` is as that of ``camera_data``."""
    format, options = image_format(path), {"quality": int(quality)}
    if exif:
        options |= {"tiffinfo": keeping_bytes(exif)} if format == "TIFF" else {"exif": as_exif(exif)}
    if format == "PNG":
        options["compress_level"] = 4  # twice as fast as 6, and 1 % larger
    if format == "ICO":
        options["sizes"] = [image.shape[1::-1]]
    try:
        Image.fromarray(without_opaque_alpha(image)).save(file, format, **options)
    except Exception as error:
        if isinstance(error, OSError) and error.errno:  # an error of the system, not of the format
            raise
        raise ValueError(f"{path}: cannot write an image of shape {image.shape}: {one_line(error)}") from error


def check_format(path: str | os.PathLike, shape: tuple[int, ...]) -> None:
    """Raise ValueError if the path's suffix is unknown, or its format cannot hold an image of this shape."""
    format = image_format(path)
    height, width, *channels = shape
    check_size(path, width, height)
    mode = "RGBA" if channels == [4] else "RGB"
    try:
        for size in ((width, 1), (1, height)):
            try_format(format, mode, size)
    except Exception as error:
        kind = f"{width}x{height} pixels{' with transparency' if mode == 'RGBA' else ''}"
        raise ValueError(f"{path}: {format} cannot hold an image of {kind}: {one_line(error)}") from error


@functools.lru_cache(maxsize=1000)
def try_format(format, mode, size):
    """Write and read an image in memory. Raises one of many exceptions if it does not come back as it was."""
    file = io.BytesIO()
    Image.new(mode, size).save(file, format, **({"sizes": [size]} if format == "ICO" else {}))
    with pillow(), Image.open(file, formats=readable_formats()) as back:
        back.load()
        if back.size != size or back.has_transparency_data != (mode == "RGBA"):
            raise ValueError("what is written is not what is read again")


def image_format(path: str | os.PathLike) -> str:
    """Pillow's name of the format that the path's suffix stands for. Raises ValueError if there is none."""
    format, suffix = format_of_suffix(path), as_path(path).suffix
    if format not in Image.SAVE or suffix.lower() in COLOURLESS_SUFFIXES:
        raise ValueError(f"{path}: cannot write images of type {suffix!r}: expected .png, .jpg, .webp or the like")
    return format


def format_of_suffix(path: str | os.PathLike) -> str | None:
    """Pillow's name of the image format of a path, judged by its suffix; None if it is none that can be read."""
    readable = readable_formats()
    format = Image.EXTENSION.get(as_path(path).suffix.lower())
    return format if format in readable else None


def check_target(path: str | os.PathLike) -> None:
    """Raise FileNotFoundError, IsADirectoryError or another OSError unless a file can be written to ``path``."""
    path = as_path(path)
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        try:
            mode = path.stat().st_mode
        except OSError as error:  # too long a name, say
            raise type(error)(f"{path}: cannot write to it: {error.strerror}") from error
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(f"{path}: a folder, expected the name of a file to write")
        if not stat.S_ISREG(mode):
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
    target = Path(os.path.realpath(as_path(path)))
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else None
    temporary = target.with_name(f".{HOST}-{os.getpid()}-{secrets.token_hex(4)}.unfinished{target.suffix}")

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
        with contextlib.suppress(OSError):  # also of a file system without links
            os.link(source, target)  # unlike a rename, it never replaces what another process has written meanwhile
            return os.unlink(source)
        if target.exists():
            raise FileExistsError(f"{target}: exists already, written meanwhile")
    os.replace(source, target)


def clear_unfinished(folder: Path) -> None:
    """Remove the unfinished files that ``atomic_write`` left in a folder in processes of this machine that are dead."""
    for path in folder.glob(f".{HOST}-*.unfinished*") if os.name == "posix" else ():
        with contextlib.suppress(OSError, ValueError):
            try:
                os.kill(int(path.name.split("-")[1]), 0)
            except ProcessLookupError:
                path.unlink()
