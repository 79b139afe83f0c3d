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

from superres.images.image import check_size

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

# sRGB in a PNG: chromaticities x, y of white, red, green and blue in cHRM, and the code points (ITU-T H.273) in cICP.
SRGB_CHROMATICITIES = 0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06
SRGB_CICP = bytes([1, 13, 0, 1])


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


def pixels_alone(png: bytes) -> bytes:
    """A PNG without text and metadata, and with right checksums. Raises one of many errors for what is none."""
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


def other_colours(info: dict) -> str | None:
    """The chunk in which a PNG without an ICC profile states other colours than sRGB's, by the rules of browsers.

    info: Pillow's, and "cicp" as ``png_cicp``.
    """
    if "icc_profile" in info:
        return None
    if info.get("cicp"):
        return "cICP" if info["cicp"] != SRGB_CICP else None
    if "srgb" in info or not info.get("gamma"):
        return None
    if not np.allclose(info.get("chromaticity", SRGB_CHROMATICITIES), SRGB_CHROMATICITIES, atol=1e-3):
        return "cHRM"
    return "gAMA" if abs(info["gamma"] - 1 / 2.2) > 1e-3 else None


# JPEG


def jpeg_damage(jpeg: bytes) -> str | None:
    """What libjpeg remarks on a JPEG whose data are damaged or end early; None if they are whole."""
    try:  # at an eighth of the size, since the data are what counts
        simplejpeg.decode_jpeg(jpeg, "GRAY", min_height=1, min_width=1, min_factor=8)
    except ValueError as error:
        return str(error) if str(error).startswith(("Corrupt", "Premature")) else None
    return None
