"""What Pillow leaves to do for some formats: colours and damage of PNG files, damage of JPEG files, raw files."""

import io
import itertools
import re
import struct
import zlib
from collections import defaultdict
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import simplejpeg

from superres.images.image import check_size, to_uint8

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PIXEL_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"

# How files begin that are images, but of kinds that Pillow cannot read, or of which it reads only a preview.
RAW = rb"....ftypcrx |FUJIFILMCCD|II\*\0....CR|IIU\0|IIR[OS]|FOVb|\0MRM"
UNREADABLE = {
    "a camera's raw file": RAW,
    "HEIC": rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)",
    "JPEG XL": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "TIFF in floating point, or another rare one": rb"II[*+]\0|MM\0[*+]",
    "colour PFM": rb"PF\s",
    "PAM": rb"P7\s",
    "Radiance HDR": rb"#\?R(ADIANC|GB)E",
    "OpenEXR": rb"v/1\x01",
    "PostScript": rb"%!PS|\xc5\xd0\xd3\xc6",
    "PDF": rb"%PDF",
    "SVG": rb"\s*<(svg|\?xml)",
}

# Chromaticities x, y of white, red, green and blue, and exponents of transfer functions, by their numbers in ITU-T
# H.273; None is sRGB's piecewise function. BT.709's is that of its displays, as in browsers.
SRGB = 0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06
PRIMARIES = {
    1: SRGB,
    9: (0.3127, 0.3290, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
}
TRANSFER = {1: 2.4, 4: 2.2, 5: 2.8, 6: 2.4, 8: 1, 13: None, 14: 2.4, 15: 2.4}

BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def unreadable_kind(head: bytes) -> str | None:
    """What kind of image begins with these bytes, if it is none that Pillow can read."""
    return next((kind for kind, start in UNREADABLE.items() if re.match(start, head, re.DOTALL)), None)


def is_raw(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a camera's raw file, of which Pillow may read a preview."""
    return re.match(RAW, head, re.DOTALL) is not None


# PNG


def png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG file: their names, and all their bytes."""
    file.seek(len(PNG_SIGNATURE))
    while len(start := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", start)
        yield name, start + file.read(length + 4)


def png_with(png: bytes, names: set[bytes]) -> bytes:
    """The bytes of a PNG without chunks of other names."""
    return PNG_SIGNATURE + b"".join(chunk for name, chunk in png_chunks(io.BytesIO(png)) if name in names)


def with_right_checksums(png: bytes) -> bytes:
    """The pixels of a PNG, with right checksums. Raises one of many errors for what is none."""
    chunks = defaultdict(bytes)
    for name, chunk in png_chunks(io.BytesIO(png)):
        if name in PIXEL_CHUNKS:
            chunks[name] += chunk[8:-4]
    width, height = struct.unpack_from(">II", chunks[b"IHDR"])
    check_size("PNG", width, height)
    # Without the header, and the checksum behind.
    pixels = zlib.decompressobj(-zlib.MAX_WBITS).decompress(chunks[b"IDAT"][2:], 8 * (width + 8) * (height + 8))
    chunks[b"IDAT"] = zlib.compress(pixels, 1)
    return PNG_SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks.items()
    )


def png_cicp(file: BinaryIO) -> bytes | None:
    """Primaries, transfer function, matrix and range (ITU-T H.273) of a PNG file, a byte each; None without them."""
    before_pixels = itertools.takewhile(lambda chunk: chunk[0] != b"IDAT", png_chunks(file))
    return next((chunk[8:12] for name, chunk in before_pixels if name == b"cICP"), None)


def transparent_value(value, raw_mode):
    """The transparent grey value or colour of a PNG in 8 bits; Pillow converts only the pixels to 8 bits."""
    if raw_mode == "RGB;16B":
        return tuple(channel >> 8 for channel in value)
    if raw_mode in ("1", "L;2", "L;4"):
        return min(value * 255 // (2 ** int(raw_mode[-1]) - 1), 255)  # recent versions give 255 for 1 bit
    return value


def png_colours(info: dict) -> tuple[tuple[float, ...], float | None] | None:
    """Chromaticities and exponent of a PNG's colours, by the rules of browsers; None for sRGB or an ICC profile.

    info: Pillow's, and "cicp" as ``png_cicp``. Raises ValueError for colours that are not known here, HDR among them.
    """
    if info.get("cicp"):
        primaries, transfer, matrix, full_range = info["cicp"]
        if primaries not in PRIMARIES or transfer not in TRANSFER or matrix or not full_range:
            raise ValueError(f"its cICP chunk says {primaries}, {transfer}, {matrix}, {full_range}")
        colours = PRIMARIES[primaries], TRANSFER[transfer]
        return colours if colours != (SRGB, None) else None
    gamma, chromaticities = info.get("gamma", 0), info.get("chromaticity")
    if {"icc_profile", "srgb"} & set(info) or gamma <= 0 or (chromaticities is None and abs(gamma - 1 / 2.2) < 1e-4):
        return None
    colours = chromaticities or SRGB, 1 / gamma
    with np.errstate(all="ignore"):
        if not np.isfinite(rgb_to_xyz(colours[0])).all():
            raise ValueError("its cHRM chunk makes no sense")
    return colours


def colours_to_srgb(rgb: np.ndarray, chromaticities: tuple[float, ...], exponent: float | None) -> np.ndarray:
    """An RGB uint8 image (h, w, 3) of other colours, as ``png_colours`` describes them, in sRGB."""
    levels = np.arange(256) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    if exponent is not None:
        linear = levels**exponent
    source, target = rgb_to_xyz(chromaticities), rgb_to_xyz(SRGB)
    # White becomes white (Bradford).
    adaptation = np.diag((BRADFORD @ target).sum(1) / (BRADFORD @ source).sum(1))
    matrix = np.linalg.solve(BRADFORD @ target, adaptation @ BRADFORD @ source)
    result = np.empty_like(rgb)
    for row, pixels in enumerate(rgb):
        light = (linear[pixels] @ matrix.T).clip(0, 1)
        result[row] = to_uint8(255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055))
    return result


def rgb_to_xyz(chromaticities):
    """The matrix from linear RGB to CIE XYZ (3, 3), in which white has Y = 1."""
    x, y = np.reshape(chromaticities, (4, 2)).T
    white, *primaries = np.stack([x / y, np.ones(4), (1 - x - y) / y], axis=1)
    columns = np.transpose(primaries)
    return columns * np.linalg.solve(columns, white)


# JPEG


def jpeg_damage(jpeg: bytes) -> str | None:
    """What libjpeg remarks on a JPEG whose data are damaged or end early; None if they are whole."""
    try:  # at an eighth of the size, since the data are what counts
        simplejpeg.decode_jpeg(jpeg, "GRAY", min_height=1, min_width=1, min_factor=8)
    except ValueError as error:
        return str(error) if str(error).startswith(("Corrupt", "Premature")) else None
    return None
