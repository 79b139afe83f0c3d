"""How an image becomes small: the degradations that the networks are trained for and measured on."""

import io

import cv2
import numpy as np
from PIL import Image

from superres.network import SCALE


def downscale(image, factor=SCALE):
    """An image reduced ``factor`` times by antialiased bicubic interpolation, the convention of DIV2K."""
    height, width = image.shape[:2]
    return np.asarray(Image.fromarray(image).resize((width // factor, height // factor), Image.Resampling.BICUBIC))


def degrade(hr, degradation, rng=None):
    """The low-resolution input that a whole high-resolution image would have become.

    ``hr`` is RGB uint8 (4h, 4w, 3), the result RGB uint8 (h, w, 3). The degradations:

    - ``clean``: antialiased bicubic interpolation, the convention of DIV2K and of MATLAB's ``imresize``
    - ``cv2``: ``cv2.resize`` with INTER_CUBIC, which does not antialias
    - ``gif``: clean, then an adaptive palette with dithering
    - ``jpeg``: clean, then JPEG

    Without ``rng`` the parameters are those of evaluation: 256 colours with Floyd-Steinberg dithering, JPEG quality 80.
    With a ``numpy.random.Generator`` they are drawn: 64-256 colours with Floyd-Steinberg, ordered or no dithering, JPEG
    quality 30-95 with or without chroma subsampling. One in four originals of ``cv2`` and inputs of ``gif`` has been a
    JPEG before; one in four of ``jpeg`` was reduced as in ``cv2``. ValueError for any other degradation.
    """
    if degradation not in ("clean", "cv2", "gif", "jpeg"):
        raise ValueError(f"unknown degradation {degradation!r}, expected clean, cv2, gif or jpeg")
    combined = rng is not None and rng.random() < 0.25
    if degradation == "cv2":
        return resize_cv2(compress_randomly(hr, rng) if combined else hr)
    lr = resize_cv2(hr) if degradation == "jpeg" and combined else downscale(hr)
    if degradation == "gif":
        if rng is None:
            return reduce_palette(lr, 256, "floyd-steinberg")
        lr = compress_randomly(lr, rng) if combined else lr
        return reduce_palette(lr, int(rng.integers(64, 257)), rng.choice(["floyd-steinberg", "ordered", "none"]))
    if degradation == "jpeg":
        return compress(lr, 80) if rng is None else compress_randomly(lr, rng)
    return lr


def resize_cv2(image):
    """An image reduced to a quarter by ``cv2.resize`` with INTER_CUBIC, which does not antialias."""
    size = image.shape[1] // SCALE, image.shape[0] // SCALE
    return cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)


def reduce_palette(image, colours, dither):
    """An RGB uint8 image (h, w, 3) in a median-cut palette of its own, dithered as said."""
    palette = Image.fromarray(image).quantize(colours, method=Image.Quantize.MEDIANCUT)
    if dither == "ordered":
        image = add_bayer_pattern(image, colours)
    method = Image.Dither.FLOYDSTEINBERG if dither == "floyd-steinberg" else Image.Dither.NONE
    return np.asarray(Image.fromarray(image).quantize(palette=palette, dither=method).convert("RGB"))


def add_bayer_pattern(image, colours):
    """Ordered dithering before quantisation: the 4x4 Bayer matrix, as wide as the spacing of an even palette."""
    bayer = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]])
    height, width = image.shape[:2]
    pattern = np.tile((bayer + 0.5) / 16 - 0.5, (height // 4 + 1, width // 4 + 1))[:height, :width, None]
    # An adaptive palette is denser than an even one where the image has its colours.
    spacing = 0.5 * 255 / np.cbrt(colours)
    return np.clip(np.rint(image + spacing * pattern), 0, 255).astype(np.uint8)


def compress(image, quality, subsampling=2):
    """An RGB uint8 image (h, w, 3) after JPEG; ``subsampling`` 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0."""
    data = io.BytesIO()
    Image.fromarray(image).save(data, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(data).convert("RGB"))


def compress_randomly(image, rng):
    """An image after JPEG of a quality between 30 and 95, one in four without chroma subsampling."""
    return compress(image, int(rng.integers(30, 96)), int(rng.choice([0, 2, 2, 2])))
