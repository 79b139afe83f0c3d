"""From high to low resolution: the degradations that the networks are trained for and measured on."""

import io

import cv2
import numpy as np
from PIL import Image

from superres import SCALE


def downscale(image: np.ndarray, factor: int = SCALE) -> np.ndarray:
    """A uint8 image ``factor`` times smaller by antialiased bicubic interpolation, the convention of DIV2K."""
    height, width = image.shape[:2]
    return np.asarray(Image.fromarray(image).resize((width // factor, height // factor), Image.Resampling.BICUBIC))


def degrade(hr: np.ndarray, degradation: str, rng: np.random.Generator | None = None) -> np.ndarray:
    """A high-resolution image, downscaled and degraded as a whole.

    ``hr`` is RGB uint8 (4h, 4w, 3), the result RGB uint8 (h, w, 3). The degradations:

    - ``clean``: antialiased bicubic interpolation, the convention of DIV2K and of MATLAB's ``imresize``
    - ``cv2``: ``cv2.resize`` with INTER_CUBIC, which does not antialias
    - ``gif``: clean, then an adaptive palette with dithering
    - ``jpeg``: clean, then JPEG

    Without ``rng`` the parameters are those of evaluation: 256 colours with Floyd-Steinberg dithering, JPEG quality 80.
    With a ``numpy.random.Generator`` they are drawn: 64-256 colours with Floyd-Steinberg, ordered or no dithering, JPEG
    quality 30-95 with or without chroma subsampling. One in four is a combination: for ``cv2`` the original, for
    ``gif`` the downscaled image is compressed as a JPEG first, for ``jpeg`` the image is downscaled as in ``cv2``.

    Raises ValueError for any other degradation.
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


def resize_cv2(image: np.ndarray) -> np.ndarray:
    """A uint8 image 4 times smaller by ``cv2.resize`` with INTER_CUBIC, which does not antialias."""
    size = image.shape[1] // SCALE, image.shape[0] // SCALE
    return cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)


def reduce_palette(image: np.ndarray, colours: int, dither: str) -> np.ndarray:
    """An RGB uint8 image (h, w, 3) in a median-cut palette of its own; dither: floyd-steinberg, ordered or none."""
    palette = Image.fromarray(image).quantize(colours, method=Image.Quantize.MEDIANCUT)
    if dither == "ordered":
        image = add_bayer_pattern(image, colours)
    method = Image.Dither.FLOYDSTEINBERG if dither == "floyd-steinberg" else Image.Dither.NONE
    return np.asarray(Image.fromarray(image).quantize(palette=palette, dither=method).convert("RGB"))


def add_bayer_pattern(image: np.ndarray, colours: int) -> np.ndarray:
    """Ordered dithering, the part before quantisation: adds a 4x4 Bayer matrix, scaled to the palette's spacing."""
    bayer = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]])
    height, width = image.shape[:2]
    pattern = np.tile((bayer + 0.5) / 16 - 0.5, (height // 4 + 1, width // 4 + 1))[:height, :width, None]
    # Half the spacing of a uniform palette: an adaptive one is denser where the image has its colours.
    spacing = 0.5 * 255 / np.cbrt(colours)
    return np.clip(np.rint(image + spacing * pattern), 0, 255).astype(np.uint8)


def compress(image: np.ndarray, quality: int, subsampling: int = 2) -> np.ndarray:
    """An RGB uint8 image (h, w, 3) after JPEG; ``subsampling`` 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0."""
    return np.asarray(Image.open(io.BytesIO(jpeg(image, quality, subsampling))).convert("RGB"))


def jpeg(image: np.ndarray, quality: int, subsampling: int = 2) -> bytes:
    """The JPEG file of an RGB uint8 image (h, w, 3); ``subsampling`` as in ``compress``."""
    data = io.BytesIO()
    Image.fromarray(image).save(data, "JPEG", quality=quality, subsampling=subsampling)
    return data.getvalue()


def compress_randomly(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An image after JPEG of a quality between 30 and 95, one in four without chroma subsampling."""
    return compress(image, int(rng.integers(30, 96)), int(rng.choice([0, 2, 2, 2])))
