"""Image files: colours, bit depths, sizes, damaged files, atomic writing."""

import errno
import io
import itertools
import os
import struct
import subprocess
import sys
import tempfile
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import pytest
from conftest import mutations
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile

from superres.images import files
from superres.images import image as image_module
from superres.images.files import atomic_write, check_format, check_target, read_image, save_image
from superres.images.formats import PNG_SIGNATURE
from superres.images.image import MAX_PIXELS


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (14, 22, 3), np.uint8)


def write(path, content):
    path.write_bytes(content)
    return path


def encoded(image, format, **options):
    data = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(data, format, **options)
    return data.getvalue()


def png_chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width, height, depth, colour_type, rows, *chunks):
    """The bytes of a PNG: ``rows`` are its raw bytes, ``chunks`` come before the pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [png_chunk(b"IHDR", header), *chunks, png_chunk(b"IDAT", pixels), png_chunk(b"IEND", b"")]
    return PNG_SIGNATURE + b"".join(parts)


# Reading


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 3), (6, 5, 4)])
def test_images_survive_png(shape, rng, tmp_path):
    image = rng.integers(0, 256, shape, np.uint8)
    save_image(tmp_path / "사진.png", image)
    read = read_image(tmp_path / "사진.png")
    np.testing.assert_array_equal(read, np.dstack([image] * 3) if image.ndim == 2 else image)


def test_read_image_rotates_as_exif_says(tmp_path, image):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(image).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "turned.png"), np.rot90(image, -1))


def test_read_image_takes_palettes(tmp_path):
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "palette.png")
    assert read_image(tmp_path / "palette.png").tolist() == [[[255, 0, 0], [0, 0, 255]]]
    palette.save(tmp_path / "hole.png", transparency=0)
    assert read_image(tmp_path / "hole.png")[..., 3].tolist() == [[0, 255]]


def test_an_alpha_of_255_everywhere_is_none(tmp_path, image):
    opaque = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    np.testing.assert_array_equal(read_image(write(tmp_path / "a.png", encoded(opaque, "PNG"))), image)
    save_image(tmp_path / "a.jpg", opaque)
    assert read_image(tmp_path / "a.jpg").shape == image.shape


RAMP = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
RAMP[-1, -1] = 65535


@pytest.mark.parametrize(
    "name, content, scale",
    [
        ("a.png", lambda: cv2.imencode(".png", RAMP)[1].tobytes(), 256),
        ("a.pgm", lambda: b"P5 64 64 65535\n" + RAMP.astype(">u2").tobytes(), 256),
        ("dark.pgm", lambda: b"P5 64 64 65535\n" + (RAMP // 256).astype(">u2").tobytes(), 65536),
        ("a.tif", lambda: encoded(Image.fromarray(RAMP), "TIFF"), 256),
        ("i16.tif", lambda: encoded(Image.fromarray(RAMP.astype(np.int32)), "TIFF"), 256),
        ("i8.tif", lambda: encoded(Image.fromarray(RAMP.astype(np.int32) // 256), "TIFF"), 256),
        ("i32.tif", lambda: encoded(Image.fromarray(RAMP.astype(np.int32) * 32768), "TIFF"), 512),
        ("f1.tif", lambda: encoded(Image.fromarray(RAMP.astype(np.float32) / 65535), "TIFF"), 257),
        ("f8.tif", lambda: encoded(Image.fromarray(RAMP.astype(np.float32) / 257), "TIFF"), 257),
        ("f16.tif", lambda: encoded(Image.fromarray(RAMP.astype(np.float32)), "TIFF"), 256),
        ("a.pfm", lambda: b"Pf\n64 64\n-1\n" + (RAMP[::-1] / np.float32(65535)).tobytes(), 257),
    ],
)
def test_deep_grey_is_scaled(name, content, scale, tmp_path):
    read = read_image(write(tmp_path / name, content()))
    assert read.shape == (64, 64, 3) and (read == read[..., :1]).all()
    assert np.abs(read[..., 0].astype(float) - RAMP / scale).max() <= 1


@pytest.mark.filterwarnings("error")
def test_unsigned_32_bits_and_floats_outside_the_range(tmp_path):
    tall = np.array([[0, 2**31, 2**32 - 1]], np.uint32)
    signed = encoded(Image.fromarray(tall.view(np.int32)), "TIFF")
    sample_format = signed.index(struct.pack("<HHI", 339, 3, 1)) + 8
    path = write(tmp_path / "a.tif", claiming(signed, sample_format, "<H", 1))
    assert read_image(path)[0, :, 0].tolist() == [0, 128, 255]
    strange = np.array([[np.nan, -1, 0.5, np.inf]], np.float32)
    path = write(tmp_path / "f.tif", encoded(Image.fromarray(strange), "TIFF"))
    assert read_image(path)[0, :, 0].tolist() == [0, 0, 128, 255]


@pytest.mark.parametrize(
    "depth, colour_type, row, transparent, alpha",
    [
        (1, 0, b"\x40", (1,), [255, 0]),
        (2, 0, b"\x60", (1,), [0, 255]),
        (4, 0, b"\x95", (5,), [255, 0]),
        (8, 0, b"\x95\x05", (5,), [255, 0]),
        (16, 0, struct.pack(">2H", 1000, 1001), (1000,), [0, 255]),
        (8, 2, b"\1\2\3\3\2\1", (1, 2, 3), [0, 255]),
        (16, 2, struct.pack(">6H", 1000, 2000, 3000, 3000, 2000, 1000), (1000, 2000, 3000), [0, 255]),
    ],
)
def test_a_transparent_value_is_transparent(depth, colour_type, row, transparent, alpha, tmp_path):
    chunk = png_chunk(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent))
    path = write(tmp_path / "a.png", png(2, 1, depth, colour_type, [row], chunk))
    assert read_image(path)[0, :, 3].tolist() == alpha


def curve(value):
    """sRGB's transfer function, [0, 1] to linear light."""
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def display_p3():
    """An ICC profile of Display P3: sRGB's, with other primaries (D50-adapted)."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    primaries = {
        b"rXYZ": (0.51512, 0.24120, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.15710, 0.06657, 0.78407),
    }
    for name, xyz in primaries.items():
        (offset,) = struct.unpack_from(">I", data, data.index(name) + 4)
        struct.pack_into(">3i", data, offset + 8, *(round(65536 * value) for value in xyz))
    return bytes(data)


P3_TO_SRGB = np.array([[1.2249, -0.2247, 0], [-0.0420, 1.0419, 0], [-0.0197, -0.0786, 1.0979]])


@pytest.mark.parametrize("format, mode", [("PNG", "RGB"), ("PNG", "RGBA"), ("TIFF", "RGB"), ("WEBP", "RGB")])
def test_display_p3_becomes_srgb(format, mode, tmp_path):
    colours = np.array([[[230, 60, 50], [90, 140, 60], [120, 110, 160]]], np.uint8)
    linear = curve(colours / 255) @ P3_TO_SRGB.T
    expected = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(expected[0, 0] - (250, 31, 34)).max() < 2, "what browsers show"
    image = np.dstack([colours, np.full((1, 3), 100, np.uint8)]) if mode == "RGBA" else colours
    options = {"lossless": True} if format == "WEBP" else {}
    path = write(tmp_path / "a", encoded(image, format, icc_profile=display_p3(), **options))
    read = read_image(path)
    assert np.abs(read[..., :3] - expected).max() < 2
    assert mode == "RGB" or (read[..., 3] == 100).all()


def test_grey_and_palette_have_their_profile_applied(tmp_path):
    grey = np.arange(256, dtype=np.uint8)[None]
    path = write(tmp_path / "grey.png", encoded(grey, "PNG", icc_profile=display_p3()))
    assert np.abs(read_image(path).astype(int) - grey[..., None]).max() <= 1, "grey is grey in both"
    palette = Image.new("P", (1, 1))
    palette.putpalette([230, 60, 50])
    path = write(tmp_path / "p.png", encoded(palette, "PNG", icc_profile=display_p3()))
    assert np.abs(read_image(path)[0, 0] - np.array((250, 31, 34))).max() < 2


def test_an_srgb_profile_changes_nothing(tmp_path, image):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_array_equal(
        read_image(write(tmp_path / "a.png", encoded(image, "PNG", icc_profile=profile))), image
    )


def test_cmyk_without_a_profile_is_pillows(tmp_path, rng):
    cmyk = Image.merge("CMYK", [Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)) for _ in range(4)])
    path = write(tmp_path / "a.tif", encoded(cmyk, "TIFF"))
    np.testing.assert_array_equal(read_image(path), np.asarray(cmyk.convert("RGB")))


def cmyk_profile():
    """A small ICC profile: full black is black, and every other ink nothing."""
    table = bytes(range(256))
    colours = [(255 * (not black), 128, 128) for _ in range(8) for black in (0, 1)]  # L*, a*, b*
    matrix = struct.pack(">9i", *(np.eye(3, dtype=int) * 65536).ravel())
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + 4 * table + bytes(sum(colours, ())) + 3 * table
    header = struct.pack(">I4xI4s4s4s12x4s28x3i48x", 144 + len(lut), 0x02100000, b"prtr", b"CMYK", b"Lab ", b"acsp",
                         *(round(65536 * value) for value in (0.9642, 1, 0.8249)))  # fmt: skip
    return header + struct.pack(">I4sII", 1, b"A2B0", 144, len(lut)) + lut


@pytest.mark.parametrize("format", ["TIFF", "JPEG"])
def test_cmyk_is_converted_by_its_profile(format, tmp_path):
    cyan, black = (Image.new("CMYK", (8, 8), inks) for inks in ((255, 0, 0, 0), (0, 0, 0, 255)))
    for image, level in ((cyan, 255), (black, 0)):
        path = write(tmp_path / "a", encoded(image, format, icc_profile=cmyk_profile()))
        assert np.abs(read_image(path).astype(int) - level).max() <= 1
    assert read_image(write(tmp_path / "b", encoded(cyan, format)))[..., 0].max() <= 1, "what Pillow makes of cyan"


@pytest.mark.parametrize("profile", [b"no profile", "CMYK"])
def test_a_profile_that_does_not_fit_is_ignored_with_a_warning(profile, tmp_path, image):
    if profile == "CMYK":
        profile = cmyk_profile()
    path = write(tmp_path / "a.png", encoded(image, "PNG", icc_profile=profile))
    with pytest.warns(UserWarning, match="a.png: the colour profile is ignored"):
        np.testing.assert_array_equal(read_image(path), image)


def test_an_rgb_profile_of_a_cmyk_image_is_ignored_with_a_warning(tmp_path):
    cyan = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    path = write(tmp_path / "a.tif", encoded(cyan, "TIFF", icc_profile=display_p3()))
    with pytest.warns(UserWarning, match="a.tif: the colour profile is ignored: it is for RGB, the image is CMYK"):
        np.testing.assert_array_equal(read_image(path), np.asarray(cyan.convert("RGB")))


def test_a_grey_profile_is_applied(tmp_path):
    """Linear grey, as a scanner might write it, becomes sRGB's."""
    grey = np.arange(256, dtype=np.uint8)[None]
    path = write(tmp_path / "grey.png", encoded(grey, "PNG", icc_profile=linear_grey_profile()))
    linear = grey[0] / 255
    expected = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(read_image(path)[0] - expected[:, None])[16:].max() <= 2


def linear_grey_profile():
    white = struct.pack(">4s4x3i", b"XYZ ", *(round(65536 * value) for value in (0.9642, 1, 0.8249)))
    tags = [(b"wtpt", white), (b"kTRC", b"curv" + bytes(8))]
    header = struct.pack(">I4xI4s4s4s12x4s28x3i48x", 156 + 20 + 12, 0x02100000, b"mntr", b"GRAY", b"XYZ ", b"acsp",
                         *(round(65536 * value) for value in (0.9642, 1, 0.8249)))  # fmt: skip
    table = struct.pack(">I4sII4sII", 2, b"wtpt", 156, 20, b"kTRC", 176, 12)
    return header + table + b"".join(data for _, data in tags)


SRGB_CHRM, ADOBE_CHRM, NEARLY_SRGB_CHRM = (
    struct.pack(">8I", 31270, 32900, 64000, 33000, *green, 15000, 6000)
    for green in ((30000, 60000), (21000, 71000), (30000, 59000))
)
GAMMA_1, GAMMA_22 = (struct.pack(">I", gamma) for gamma in (100000, 45455))
OTHER_COLOURS = {
    "linear": (b"gAMA", [(b"gAMA", GAMMA_1)]),
    "old Macs": (b"gAMA", [(b"gAMA", struct.pack(">I", 55556)), (b"cHRM", SRGB_CHRM)]),
    "Adobe RGB": (b"cHRM", [(b"gAMA", GAMMA_22), (b"cHRM", ADOBE_CHRM)]),
    "nearly sRGB's gamma": (b"gAMA", [(b"gAMA", struct.pack(">I", 46000))]),
    "nearly sRGB's primaries": (b"cHRM", [(b"gAMA", GAMMA_22), (b"cHRM", NEARLY_SRGB_CHRM)]),
    "nonsense": (b"cHRM", [(b"gAMA", GAMMA_22), (b"cHRM", bytes(32))]),
    "Display P3": (b"cICP", [(b"cICP", bytes([12, 13, 0, 1]))]),
    "HDR": (b"cICP", [(b"cICP", bytes([9, 16, 0, 1])), (b"gAMA", GAMMA_22)]),
    "video range": (b"cICP", [(b"sRGB", b"\0"), (b"cICP", bytes([1, 13, 0, 0]))]),
}
SRGB_COLOURS = {
    "2.2": [(b"gAMA", GAMMA_22), (b"cHRM", SRGB_CHRM)],
    "sRGB": [(b"sRGB", b"\0"), (b"gAMA", GAMMA_1), (b"cHRM", ADOBE_CHRM)],
    "primaries without a gamma": [(b"cHRM", ADOBE_CHRM)],
    "no gamma": [(b"gAMA", bytes(4))],
    "2.2, rounded": [(b"gAMA", struct.pack(">I", 45500))],
    "cICP": [(b"cICP", bytes([1, 13, 0, 1])), (b"gAMA", GAMMA_1)],
}


def with_chunks(path, chunks):
    return write(path, png(2, 1, 8, 0, [b"\1\2"], *(png_chunk(*chunk) for chunk in chunks)))


@pytest.mark.parametrize("name", OTHER_COLOURS)
def test_other_colours_of_a_png_without_a_profile_are_ignored_with_a_warning(name, tmp_path):
    chunk, chunks = OTHER_COLOURS[name]
    path = with_chunks(tmp_path / "a.png", chunks)
    with pytest.warns(UserWarning, match=rf"a.png: the colours are taken for sRGB: its {chunk.decode()} chunk states"):
        assert read_image(path)[0, :, 0].tolist() == [1, 2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        profile = png_chunk(b"iCCP", b"P3\0\0" + zlib.compress(display_p3()))
        read_image(write(tmp_path / "b.png", png(2, 1, 8, 2, [bytes(6)], profile, *(png_chunk(*c) for c in chunks))))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", SRGB_COLOURS)
def test_colours_of_a_png_that_browsers_take_for_srgb_need_no_warning(name, tmp_path):
    assert read_image(with_chunks(tmp_path / "a.png", SRGB_COLOURS[name]))[0, :, 0].tolist() == [1, 2]


@pytest.mark.parametrize("name", [b"zTXt", b"iTXt", b"tEXt"])
@pytest.mark.parametrize("broken", [False, True])
def test_text_is_no_reason_to_refuse_a_png(name, broken, tmp_path):
    text = zlib.compress(bytes(2**21))
    chunk = png_chunk(name, {b"zTXt": b"key\0\0", b"iTXt": b"key\0\1\0\0\0", b"tEXt": b"key\0"}[name] + text)
    chunk = chunk[:-1] + bytes([chunk[-1] ^ broken])  # the checksum
    path = write(tmp_path / "a.png", png(2, 1, 8, 0, [b"\1\2"], chunk))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert read_image(path)[0, :, 0].tolist() == [1, 2]
    assert all("a.png: text, colour profile and EXIF data are ignored" in str(each.message) for each in caught)
    assert len(caught) == (broken or name != b"tEXt")


def test_a_broken_profile_chunk_is_ignored_with_a_warning(tmp_path):
    path = write(tmp_path / "a.png", png(2, 1, 8, 0, [b"\1\2"], png_chunk(b"iCCP", b"key\0\7compressed")))
    with pytest.warns(UserWarning, match="a.png: text, colour profile and EXIF data are ignored"):
        assert read_image(path)[0, :, 0].tolist() == [1, 2]


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_is_read_with_a_warning(format, rng, tmp_path):
    frames = [Image.fromarray(rng.integers(0, 2, (8, 8, 3), np.uint8) * 255) for _ in range(3)]
    options = {"lossless": True} if format == "WEBP" else {}
    path = write(tmp_path / "a.png", encoded(frames[0], format, save_all=True, append_images=frames[1:], **options))
    with pytest.warns(UserWarning, match="a.png: only the first of several frames is read"):
        np.testing.assert_array_equal(read_image(path), np.asarray(frames[0]))


def test_a_cameras_previews_are_no_frames(tmp_path, image):
    path = write(tmp_path / "a.jpg", encoded(image, "MPO", save_all=True, append_images=[Image.fromarray(image)]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(path).shape == image.shape


def test_layers_of_a_psd_are_no_frames(tmp_path):
    """8BPS with two layers; the image itself is the composite behind them."""
    layer = (
        struct.pack(">4iH", 0, 0, 2, 2, 1) + struct.pack(">hI", 0, 6) + b"8BIMnorm\xff\0\0\0" + struct.pack(">I", 12)
    )
    layer += struct.pack(">II", 0, 0) + b"\1a\0\0"
    layers = struct.pack(">h", 2) + 2 * layer + 2 * (b"\0\0" + bytes([1, 2, 3, 4]))
    section = struct.pack(">I", len(layers)) + layers
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, 1, 2, 2, 8, 1)
    psd = header + bytes(8) + struct.pack(">I", len(section)) + section + b"\0\0" + bytes([9, 8, 7, 6])
    path = write(tmp_path / "a.psd", psd)
    assert Image.open(path).is_animated, "no layers to leave out"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(path)[..., 0].tolist() == [[9, 8], [7, 6]]


def test_the_orientation_is_that_of_exif_alone(tmp_path, image):
    """Editors that turn the pixels and drop the EXIF data leave it in XMP."""
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif[0x011A] = 72.0
    for format, options in [
        ("JPEG", {"xmp": xmp}),
        ("JPEG", {"xmp": xmp, "exif": exif}),
        ("WEBP", {"xmp": xmp}),
        ("WEBP", {"xmp": xmp, "exif": exif}),
        ("TIFF", {"tiffinfo": {700: xmp}}),
        ("TIFF", {"tiffinfo": {700: xmp}, "compression": "tiff_lzw"}),
    ]:
        path = write(tmp_path / "a", encoded(image, format, **options))
        assert read_image(path).shape == image.shape
    text = b"XML:com.adobe.xmp\0\0\0\0\0" + xmp
    before = png(2, 1, 8, 0, [b"\1\2"], png_chunk(b"iTXt", text))
    end = png_chunk(b"IEND", b"")
    behind = png(2, 1, 8, 0, [b"\1\2"]).replace(end, png_chunk(b"iTXt", text) + end)
    for content in (before, behind):
        assert read_image(write(tmp_path / "a.png", content)).shape == (1, 2, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_of_exif(orientation, tmp_path, image):
    turned = {
        1: image, 2: image[:, ::-1], 3: image[::-1, ::-1], 4: image[::-1], 5: image.swapaxes(0, 1),
        6: np.rot90(image, -1), 7: image[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(image),
    }  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    for format in ("PNG", "TIFF", "WEBP"):
        options = {"lossless": True} if format == "WEBP" else {}
        read = read_image(write(tmp_path / "a.png", encoded(image, format, exif=exif, **options)))
        np.testing.assert_array_equal(read, turned[orientation])


# Kinds


@pytest.mark.parametrize(
    "content, kind",
    [
        (b"\xff\x0a\xfa\x1f", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"PF\n1 1\n-1.0\n" + bytes(12), "colour PFM"),
        (b"#?RADIANCE\n", "Radiance HDR"),
        (b"v/1\x01\2\0\0\0", "OpenEXR"),
        (b'<?xml version="1.0"?><svg/>', "SVG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n", "PostScript"),
        (encoded(Image.new("F", (2, 2)), "TIFF").replace(struct.pack("<HHII", 258, 3, 1, 32),
                                                         struct.pack("<HHII", 258, 3, 1, 16)), "TIFF in floating"),
        (b"FUJIFILMCCD-RAW 0201", "a camera's raw file"),
        (b"II*\0\x10\0\0\0CR\2\0", "a camera's raw file"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1", "a camera's raw file"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(content, kind, tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("another program was started"))
    with pytest.raises(ValueError, match=f"photo.png: .*{kind}"):
        read_image(write(tmp_path / "photo.png", content + bytes(64)))


def test_a_thumbnail_is_not_taken_for_the_image(tmp_path, image):
    """A camera's raw file as it is often built: a reduced image first, the others in sub-directories."""
    thumbnail = encoded(image, "TIFF", tiffinfo={254: 1, 330: 8})
    with pytest.raises(ValueError, match="a.tif: .*thumbnail.*raw file"):
        read_image(write(tmp_path / "a.tif", thumbnail))
    for tags in ({254: 1}, {330: 8}):  # a small image alone; an image that is followed by smaller ones
        np.testing.assert_array_equal(
            read_image(write(tmp_path / "b.tif", encoded(image, "TIFF", tiffinfo=tags))), image
        )
    canon = bytearray(encoded(image, "TIFF"))
    assert canon[:8] == b"II*\0\x08\0\0\0"
    directory = canon[8 : 8 + 2 + 12 * canon[8] + 4]
    canon[4:12] = struct.pack("<I4s", len(canon), b"CR\2\0")
    path = write(tmp_path / "c.tif", bytes(canon + directory))
    assert Image.open(path).size == (22, 14), "Pillow reads it"
    with pytest.raises(ValueError, match="c.tif: a camera's raw file"):
        read_image(path)


def test_a_compression_that_this_pillow_lacks_is_named(tmp_path, image):
    deflate, webp = (struct.pack("<HHIHH", 259, 3, 1, code, 0) for code in (8, 50001))
    tiff = encoded(image, "TIFF", compression="tiff_adobe_deflate")
    assert deflate in tiff
    path = write(tmp_path / "a.tif", tiff.replace(deflate, webp))
    with pytest.raises(ValueError, match="a.tif: a TIFF of a kind that cannot be read here: webp"):
        read_image(path)


def test_heic_is_read_where_pillow_heif_is_installed(tmp_path):
    flat = np.full((16, 24, 3), (200, 90, 40), np.uint8)
    pillow_heif.from_pillow(Image.fromarray(flat)).save(tmp_path / "a.heic", quality=95)
    assert np.abs(read_image(tmp_path / "a.heic").astype(int) - flat).max() < 4


@pytest.mark.parametrize("suffix", ["eps", "pdf", "palm", "h5", "psd"])
def test_only_images_that_can_be_read_again_are_written(suffix, tmp_path):
    with pytest.raises(ValueError, match=f"cannot write images of type '.{suffix}'"):
        save_image(tmp_path / f"a.{suffix}", np.zeros((4, 4), np.uint8))


@pytest.mark.parametrize("size", [(24, 20), (20, 24), (96, 96), (1, 1), (256, 7)])
def test_an_icon_keeps_its_size(size, rng, tmp_path):
    image = rng.integers(0, 256, (*size, 3), np.uint8)
    save_image(tmp_path / "a.ico", image)
    np.testing.assert_array_equal(read_image(tmp_path / "a.ico"), image)


def test_a_format_that_shrinks_what_it_writes_is_refused(tmp_path):
    with pytest.raises(ValueError, match="a.icns: ICNS cannot hold an image of 96x96 pixels"):
        save_image(tmp_path / "a.icns", np.zeros((96, 96, 3), np.uint8))


# Sizes


def claiming(content, at, code, *size):
    """The file with another size at byte ``at``."""
    return content[:at] + struct.pack(code, *size) + content[at + struct.calcsize(code) :]


DOT = Image.new("RGB", (8, 8))
BOMBS = {
    "png": png(65535, 65535, 8, 2, [b"\0"]),
    "gif": b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b",\0\0\0\0\1\0\1\0\0\2\2D\1\0;",
    "bmp": claiming(encoded(DOT, "BMP"), 18, "<ii", 65535, 65535),
    "pgm": b"P5 65535 65535 255\n",
    "jpg": claiming(encoded(DOT, "JPEG"), encoded(DOT, "JPEG").index(b"\xff\xc0") + 5, ">HH", 20000, 14000),
}


@pytest.mark.parametrize("suffix", BOMBS)
def test_a_claimed_size_is_refused_before_memory_is_asked_for(suffix, tmp_path, monkeypatch):
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("memory was asked for"))
    with pytest.raises(ValueError, match=rf"a.{suffix}: .*too large.*{MAX_PIXELS:,}"):
        read_image(write(tmp_path / f"a.{suffix}", BOMBS[suffix]))


def test_reading_leaves_the_process_as_it_was(tmp_path, image, monkeypatch):
    """In threads too: Pillow's limit on sizes and Python's warnings are those of the whole process."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 123)
    before = 123, list(warnings.filters)
    paths = [write(tmp_path / f"{i}.png", encoded(image, "PNG")) for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read_image, paths * 50))
    assert (Image.MAX_IMAGE_PIXELS, list(warnings.filters)) == before


def test_warnings_point_at_the_caller(tmp_path, image):
    path = write(tmp_path / "a.png", encoded(image, "PNG", icc_profile=b"no profile"))
    with pytest.warns(UserWarning) as caught:
        read_image(path)
    assert caught[0].filename == __file__


def test_what_is_written_can_be_read_again(tmp_path, monkeypatch):
    """Up to the limit, which is larger than a 12-megapixel photograph x4, and above Pillow's own."""
    assert MAX_PIXELS > 4032 * 3024 * 16
    monkeypatch.setattr(image_module, "MAX_PIXELS", 48)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1)
    save_image(tmp_path / "a.png", np.zeros((8, 6), np.uint8))
    assert read_image(tmp_path / "a.png", max_pixels=48).shape == (8, 6, 3)
    with pytest.raises(ValueError, match="a.png: the image is too large: 6x8 pixels, expected at most 47"):
        read_image(tmp_path / "a.png", max_pixels=47)
    with pytest.raises(ValueError, match="b.png: too large: 7x7 pixels, expected at most 48"):
        save_image(tmp_path / "b.png", np.zeros((7, 7), np.uint8))


# Damage


def test_read_image_names_the_file_and_what_is_wrong(tmp_path, image):
    with pytest.raises(FileNotFoundError, match="nowhere.png: no such image"):
        read_image(tmp_path / "nowhere.png")
    for content in (b"", b"not an image at all"):
        with pytest.raises(ValueError, match="bad.jpg: not an image"):
            read_image(write(tmp_path / "bad.jpg", content))
    whole = encoded(image, "JPEG")
    for length in range(4, len(whole) - 2, 40):
        with pytest.raises(ValueError, match="cut.jpg: "):
            read_image(write(tmp_path / "cut.jpg", whole[:length]))


@pytest.mark.parametrize(
    "mode, options",
    [
        ("RGB", {}),
        ("RGB", {"progressive": True}),
        ("L", {"progressive": True}),
        ("RGB", {"restart_marker_blocks": 4}),
        ("CMYK", {"subsampling": 0, "quality": 97}),
    ],
)
def test_a_jpeg_without_its_end_is_read_if_every_pixel_is_there(mode, options, tmp_path, rng):
    smooth = Image.fromarray(rng.integers(0, 256, (4, 6, 3), np.uint8)).resize((90, 70), Image.Resampling.BICUBIC)
    whole = encoded(smooth.convert(mode), "JPEG", **options)
    expected = read_image(write(tmp_path / "a.jpg", whole))
    for missing in (1, 2):
        with pytest.warns(UserWarning, match="a.jpg: its end marker is missing"):
            np.testing.assert_array_equal(read_image(write(tmp_path / "a.jpg", whole[:-missing])), expected)
    # Restart markers are where a file may be cut without a bit that is half there; where the last scans of a
    # progressive one are missing, nothing tells.
    marks = {place: whole[place + 1] for place in range(600, len(whole) - 2) if whole[place] == 0xFF}
    restarts = {place for place, marker in marks.items() if 0xD0 <= marker < 0xD8}
    scans = {place + byte for place, marker in marks.items() if marker in (0xC4, 0xDA) for byte in (0, 1)}
    for length in restarts.union(range(600, len(whole) - 2, 200), range(len(whole) - 40, len(whole) - 2)) - scans:
        with pytest.raises(ValueError, match="a.jpg: "):
            read_image(write(tmp_path / "a.jpg", whole[:length]))


@pytest.mark.parametrize(
    "mode, options",
    [
        ("RGB", {}),
        ("RGB", {"optimize": True}),
        ("L", {"restart_marker_blocks": 4}),
        ("RGB", {"progressive": True}),
        ("CMYK", {"progressive": True, "restart_marker_blocks": 2}),
    ],
)
def test_a_jpeg_whose_data_end_early_is_read_with_a_warning(mode, options, tmp_path, rng):
    """Cut and given an end, or filled with zeros, as downloads and recovered cards are; in one restart interval too."""
    smooth = Image.fromarray(rng.integers(0, 256, (4, 6, 3), np.uint8)).resize((90, 70), Image.Resampling.BICUBIC)
    whole = encoded(smooth.convert(mode), "JPEG", **options)
    end = whole.index(b"\xff\xda") + 30
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_image(write(tmp_path / "a.jpg", whole))
        read_image(write(tmp_path / "a.jpg", whole + bytes(99)))
    damaged = [whole[:length] + b"\xff\xd9" for length in [*range(end, len(whole) - 2, 97), len(whole) - 4]]
    if mode == "L":
        marker = whole.index(b"\xff\xd3")
        damaged.append(whole[: marker - 6] + whole[marker:])
    damaged += [whole[:length] + bytes(len(whole) - length) for length in range(end, len(whole) - 99, 203)]
    expected, said = read_image(write(tmp_path / "a.jpg", whole)), 0
    for content in damaged:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                read = read_image(write(tmp_path / "a.jpg", content))
            except ValueError:  # a file filled with zeros that lacks its end, or whole scans
                continue
        if not np.array_equal(read, expected):
            assert "a.jpg: a part of it may be blank or wrong: " in str(caught[0].message)
            said += 1
    assert said > len(damaged) / 3


@pytest.mark.parametrize("quality", [75, 100])
@pytest.mark.parametrize("progressive", [True, False])
def test_a_blank_jpeg_is_whole(progressive, quality, tmp_path):
    """Its data may end in zeros, like those of a file that was filled with them."""
    ends = set()
    for level, width in itertools.product((0, 128, 255), (8, 64, 96, 128, 150)):
        blank = np.full((99, width, 3), level, np.uint8)
        content = encoded(blank, "JPEG", progressive=progressive, quality=quality, optimize=True)
        ends.add(content[-3])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert (read_image(write(tmp_path / "a.jpg", content)) == level).all()
    assert 0 in ends or progressive


@pytest.mark.parametrize("wrong", ["pixels", "chunk as well", "header"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1", "I;16"])
def test_a_png_of_wrong_checksums_is_read_with_a_warning(mode, wrong, tmp_path, image):
    rgba = Image.fromarray(np.dstack([image, image[..., 0]]))
    original = Image.fromarray(RAMP) if mode == "I;16" else rgba.convert(mode)
    content = bytearray(encoded(original, "PNG"))
    start, end = content.index(b"IDAT"), content.rindex(b"IEND") - 8
    if wrong == "header":
        content[start - 5] ^= 1
    else:
        content[end - 1] ^= 1  # the last byte of the pixels' own checksum, Adler-32
    if wrong == "pixels":
        content[end : end + 4] = struct.pack(">I", zlib.crc32(content[start:end]))
    expected = read_image(write(tmp_path / "a.png", encoded(original, "PNG")))
    with pytest.warns(UserWarning, match="a.png: text, colour profile and EXIF data are ignored"):
        np.testing.assert_array_equal(read_image(write(tmp_path / "a.png", content)), expected)


def test_a_png_whose_pixels_end_early_is_refused(tmp_path, image):
    content = encoded(image, "PNG")
    for length in range(60, len(content) - 20, 100):
        path = write(tmp_path / "a.png", content[:length] + png_chunk(b"IEND", b""))
        with pytest.raises(ValueError, match="a.png: the image is damaged or cut short"):
            read_image(path)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "jpeg"])
def test_a_tiff_that_is_cut_is_damaged_rather_than_rare(compression, tmp_path, photo):
    whole = encoded(photo, "TIFF", compression=compression)
    for length in {*range(9, len(whole) - 4, len(whole) // 9), *range(len(whole) - 40, len(whole) - 4, 7)}:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                read_image(write(tmp_path / "a.tif", whole[:length]))
            except ValueError as error:
                assert "a.tif: the image is damaged or cut short" in str(error)


@pytest.mark.parametrize(
    "content", [b"\x89PNG\r\n\x1a\n\0\0", b"\xff\xd8\xff\xe0\0", b"RIFF\x10\0\0\0WEBPVP8 ", b"BM\0", b"GIF89a"]
)
def test_the_beginning_of_an_image_is_one_cut_short(content, tmp_path):
    with pytest.raises(ValueError, match="a.png: the image is damaged or cut short"):
        read_image(write(tmp_path / "a.png", content))


def test_an_offset_that_makes_no_sense_is_damage(tmp_path, image, monkeypatch):
    def fail(_):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    with pytest.raises(ValueError, match="a.bmp: the image is damaged or cut short$"):
        read_image(write(tmp_path / "a.bmp", encoded(image, "BMP")))


def test_what_pillow_warns_of_names_the_file(tmp_path, image):
    path = write(tmp_path / "a.jpg", encoded(image, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\1\x0f"))
    with pytest.warns(UserWarning) as caught:
        read_image(path)
    assert [str(warning.message).startswith(f"{path}: ") for warning in caught] == [True]


@pytest.mark.parametrize("function", [read_image, lambda path: save_image(path, np.zeros((4, 4), np.uint8))])
def test_what_is_no_path_is_named(function, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("", b"", None, 3, ["a.png"], np.zeros(3)):
        with pytest.raises(ValueError, match="is no file name: expected a path"):
            function(path)
    save_image(b"a.png", np.zeros((4, 4), np.uint8))
    assert function(b"a.png") is None or function(os.fsencode(tmp_path / "a.png")).shape == (4, 4, 3)


@pytest.mark.parametrize("value", [0, -5, 101, "90", None, True, 90.5])
def test_a_quality_or_limit_that_makes_no_sense(value, tmp_path, image):
    with pytest.raises(ValueError, match="quality is .*, expected a whole number from 1 to 100"):
        save_image(tmp_path / "a.jpg", image, value)
    assert not list(tmp_path.iterdir())
    save_image(tmp_path / "a.jpg", image, np.int64(100))
    if value != 101:
        with pytest.raises(ValueError, match="max_pixels is .*, expected a whole number from 1"):
            read_image(tmp_path / "a.jpg", value)


@pytest.mark.parametrize("error", [RuntimeError("two\nlines"), NotImplementedError(), MemoryError(), KeyError("x")])
def test_whatever_a_decoder_raises_is_one_sentence(error, tmp_path, image, monkeypatch):
    def fail(_):
        raise error

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    with pytest.raises(ValueError, match="a.png: the image is") as caught:
        read_image(write(tmp_path / "a.png", encoded(image, "PNG")))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.filterwarnings("ignore")
def test_a_damaged_image_is_read_or_refused_in_one_line(tmp_path, image):
    originals = [encoded(image, format) for format in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "TGA")]
    originals += [
        encoded(np.dstack([image, image[..., 0]]), "PNG", icc_profile=display_p3()),
        encoded(image, "JPEG", progressive=True, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"),
        encoded(Image.fromarray(RAMP), "PNG"),
    ]
    outcomes = set()
    for content in mutations(originals, count=100):
        path = write(tmp_path / "fuzz.png", content)
        try:
            read = read_image(path)
            assert read.dtype == np.uint8 and read.ndim == 3 and read.shape[2] in (3, 4)
            outcomes.add("read")
        except (ValueError, OSError) as error:
            assert "fuzz.png" in str(error) and len(str(error).splitlines()) == 1
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


# Writing


@pytest.mark.parametrize(
    "name, shape, said",
    [
        ("a.txt", (4, 4), "cannot write images of type"),
        ("a", (4, 4), "cannot write images of type"),
        ("a.pdf", (4, 4), "cannot write images of type"),
        ("a.jpg", (4, 4, 4), "JPEG cannot hold an image of 4x4 pixels with transparency"),
        ("a.ppm", (4, 4, 4), "PPM cannot hold"),
        ("a.ico", (300, 300), "ICO cannot hold an image of 300x300 pixels"),
        ("a.xbm", (4, 4), "XBM cannot hold"),
        ("a.webp", (1, 16384), "WEBP cannot hold an image of 16384x1 pixels: .*exceeds WebP limit"),
        ("a.jpg", (65501, 1), "JPEG cannot hold an image of 1x65501 pixels"),
        ("a.gif", (65536, 1), "GIF cannot hold an image of 1x65536 pixels"),
        ("a.pgm", (4, 4, 3), "cannot write images of type '.pgm'"),
        ("a.PFM", (4, 4, 3), "cannot write images of type '.PFM'"),
        ("a.pbm", (4, 4), "cannot write images of type"),
        ("a.bw", (4, 4), "cannot write images of type"),
        ("a.tga", (65536, 1), "TGA cannot hold an image of 1x65536"),
    ],
)
def test_save_image_refuses_and_leaves_nothing(name, shape, said, tmp_path):
    with pytest.raises(ValueError, match=f"{name}: .*{said}"):
        save_image(tmp_path / name, np.zeros(shape, np.uint8))
    assert not list(tmp_path.iterdir())


@settings(max_examples=10)
@given(st.sampled_from(["png", "webp", "jpg", "tif", "bmp", "gif"]), st.integers(1, 40), st.integers(1, 40))
def test_whatever_passes_the_check_can_be_written_and_read(tmp_path_factory, suffix, height, width):
    path = tmp_path_factory.mktemp("out") / f"a.{suffix}"
    image = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    check_format(path, image.shape)
    save_image(path, image)
    assert read_image(path).shape == image.shape


@pytest.mark.parametrize("name, longest", [("a.webp", 16383), ("a.jpg", 65500), ("a.gif", 65535)])
def test_the_longest_side_of_a_format_can_be_written(name, longest, tmp_path):
    save_image(tmp_path / name, np.zeros((1, longest), np.uint8))
    assert read_image(tmp_path / name).shape == (1, longest, 3)


@pytest.mark.parametrize("image", [np.zeros((4, 4)), np.zeros((4, 4, 2), np.uint8), [[1]], np.zeros((0, 4), np.uint8)])
def test_save_image_takes_uint8_images_alone(image, tmp_path):
    with pytest.raises(ValueError, match="expected .*image.*got"):
        save_image(tmp_path / "a.png", image)
    assert not list(tmp_path.iterdir())


def test_jpeg_is_written_at_quality_95(tmp_path, image):
    save_image(tmp_path / "a.jpg", image)
    assert (tmp_path / "a.jpg").read_bytes() == encoded(image, "JPEG", quality=95)


def test_png_is_compressed(tmp_path):
    ramp = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
    save_image(tmp_path / "a.png", ramp)
    assert (tmp_path / "a.png").stat().st_size < 2000


def test_a_full_disk_is_an_error_of_the_system(tmp_path, image, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    check_format(tmp_path / "a.png", image.shape)
    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="No space left"):
        save_image(tmp_path / "a.png", image)
    assert not list(tmp_path.iterdir())


def test_targets_that_cannot_be_written(tmp_path, image):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(IsADirectoryError, match="folder.png: a folder"):
        save_image(tmp_path / "folder.png", image)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        save_image(tmp_path / "none" / "a.png", image)


def test_a_folder_without_permission(tmp_path, image, monkeypatch):
    """As root may write to any folder, the system's answer is made up."""

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(OSError, match="a.png: cannot write to the folder"):
        check_target(tmp_path / "a.png")


def test_atomic_write_replaces_the_whole_file_or_nothing(tmp_path):
    target = tmp_path / "out.bin"
    target.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), atomic_write(target) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert target.read_bytes() == b"old" and list(tmp_path.iterdir()) == [target]
    with atomic_write(target) as file:
        file.write(b"new")
    assert target.read_bytes() == b"new" and list(tmp_path.iterdir()) == [target]
    if os.name == "posix":
        plain_file = tmp_path / "plain"
        plain_file.touch()
        assert target.stat().st_mode == plain_file.stat().st_mode
    with pytest.raises(FileNotFoundError, match="no such folder"), atomic_write(tmp_path / "none" / "x"):
        pass


@pytest.mark.parametrize("name", ["x" * 251 + ".png", "가" * 82 + ".keras", "n." + "x" * 200])
def test_atomic_write_takes_names_as_long_as_the_system_does(name, tmp_path):
    with atomic_write(tmp_path / name) as file:
        assert file.name.endswith(Path(name).suffix)
        Path(file.name).write_bytes(b"by its path")
    assert (tmp_path / name).read_bytes() == b"by its path" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX")
def test_atomic_write_keeps_permissions_and_links(tmp_path):
    secret, link, broken = (tmp_path / name for name in ("secret", "link", "broken"))
    (tmp_path / "other").mkdir()
    secret.touch(0o600)
    link.symlink_to("secret")
    broken.symlink_to("other/new")
    for path in (link, broken):
        with atomic_write(path) as file:
            assert os.fstat(file.fileno()).st_mode & 0o77 == (0 if path == link else 0o44), "before anything is in it"
            file.write(b"new")
        assert path.is_symlink() and path.read_bytes() == b"new"
    assert secret.stat().st_mode & 0o777 == 0o600
    secret.chmod(0o666)  # more than the umask gives
    with atomic_write(secret):
        pass
    assert secret.stat().st_mode & 0o777 == 0o666 and len(list(tmp_path.rglob("*"))) == 5


def test_atomic_write_does_not_touch_the_umask(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "umask", lambda _: pytest.fail("other threads create files"))
    with atomic_write(tmp_path / "a"):
        pass


@pytest.mark.parametrize("links", [True, False])
def test_atomic_write_replaces_nothing_that_appears_meanwhile(links, tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", unsupported)
    target = tmp_path / "a.png"
    with atomic_write(target, overwrite=False) as file:
        file.write(b"first")
    with pytest.raises(FileExistsError, match="a.png: exists already"), atomic_write(target, overwrite=False) as file:
        file.write(b"second")
    assert target.read_bytes() == b"first" and list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("overwrite", [True, False])
def test_an_interruption_at_any_line_leaves_no_temporary_file(overwrite, tmp_path):
    lines = {atomic_write.__wrapped__.__code__, files.move.__code__}

    def interrupt(frame, event, _):
        if event == "line" and next(moments) == 0:
            raise KeyboardInterrupt
        return interrupt

    for moment in range(99):
        moments = iter(range(moment, -99, -1))
        sys.settrace(lambda frame, *_: interrupt if frame.f_code in lines else None)
        try:
            with atomic_write(tmp_path / "a", overwrite) as file:
                file.write(b"whole")
        except KeyboardInterrupt:
            pass
        else:
            break
        finally:
            sys.settrace(None)
        left = list(tmp_path.iterdir())
        assert [path.name for path in left] in ([], ["a"]) and all(path.read_bytes() == b"whole" for path in left)
        (tmp_path / "a").unlink(missing_ok=True)
    assert 10 < moment < 98


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_is_no_file_to_write(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(OSError, match="pipe.png: a pipe or device, expected the name of a file"):
        save_image(tmp_path / "pipe.png", np.zeros((4, 4), np.uint8))
