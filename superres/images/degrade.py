"""From high to low resolution: the degradations that the networks are trained for and measured on."""

import io
from fractions import Fraction

import cv2
import numpy as np
from PIL import Image

from superres import SCALE
from superres.images.image import bicubic_downscale, to_uint8

# The ways in which an image becomes small. See ``degrade``.
DEGRADATIONS = ("clean", "cv2", "gif", "jpeg", "photo", "strong")

# The standard deviation of the noise in evaluation, grey levels, and JPEG's qualities. The rest is as in ``camera``.
POOR_CAMERAS = {"photo": ((2, 12), (50, 90)), "strong": ((15, 30), (40, 90))}


def downscale(image: np.ndarray, factor: int | Fraction = SCALE) -> np.ndarray:
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
    - ``photo``: blur, downscaling, sensor noise, JPEG: a poor camera
    - ``strong``: the same with noise of 15 to 30 grey levels: a telephone at night, old film

    Without ``rng`` the parameters are those of evaluation: 256 colours with Floyd-Steinberg dithering, JPEG quality 80,
    and for ``photo`` and ``strong`` some that depend on the image alone. With a ``numpy.random.Generator`` they are
    drawn: 64-256 colours with Floyd-Steinberg, ordered or no dithering, JPEG quality 30-95 with or without chroma
    subsampling. Half of the originals for ``cv2`` get grain first, a third of the images for ``gif`` and ``jpeg`` noise
    once they are small. One in four is a combination: for ``cv2`` the original, for ``gif`` the downscaled image is
    compressed as a JPEG first, for ``jpeg`` the image is downscaled as in ``cv2``. ``photo`` and ``strong`` are drawn
    as in ``photograph``.

    Raises ValueError for any other degradation.
    """
    if degradation not in DEGRADATIONS:
        raise ValueError(f"unknown degradation {degradation!r}, expected {', '.join(DEGRADATIONS)}")
    if rng is None:
        return degrade_for_evaluation(hr, degradation)
    if degradation in POOR_CAMERAS:
        return photograph(hr, rng, noise=(15, 30) if degradation == "strong" else (0, 30))
    combined = rng.random() < 0.25
    if degradation == "cv2":
        hr = add_noise(hr, rng.uniform(0, 9), rng) if rng.random() < 0.5 else hr
        return bicubic_downscale(compress_randomly(hr, rng) if combined else hr)
    lr = bicubic_downscale(hr) if degradation == "jpeg" and combined else downscale(hr)
    if degradation == "clean":
        return lr
    lr = add_noise(lr, rng.uniform(0, 7), rng) if rng.random() < 1 / 3 else lr
    if degradation == "jpeg":
        return compress_randomly(lr, rng)
    lr = compress_randomly(lr, rng) if combined else lr
    return reduce_palette(lr, int(rng.integers(64, 257)), rng.choice(["floyd-steinberg", "ordered", "none"]))


def degrade_for_evaluation(hr, degradation):
    if degradation in POOR_CAMERAS:
        rng = np.random.default_rng(int(hr.sum(dtype=np.int64)) + (degradation == "strong"))
        noise, quality = POOR_CAMERAS[degradation]
        return camera(hr, low_size(hr), rng, blur=(0.8, 3.2), noise=noise, quality=quality)
    if degradation == "cv2":
        return bicubic_downscale(hr)
    lr = downscale(hr)
    if degradation == "gif":
        return reduce_palette(lr, 256, "floyd-steinberg")
    return compress(lr, 80) if degradation == "jpeg" else lr


def low_size(hr):
    """Width and height of an image downscaled."""
    return hr.shape[1] // SCALE, hr.shape[0] // SCALE


def photograph(hr: np.ndarray, rng: np.random.Generator, noise: tuple[float, float]) -> np.ndarray:
    """What becomes of a scene on its way through poor cameras and the web, drawn for training.

    The degradations of BSRGAN (Zhang et al. 2021) and Real-ESRGAN (Wang et al. 2021, section 3.1): one round of
    ``camera``, and for one image in three a second, milder one. ``hr`` and the result as in ``degrade``; ``noise``: a
    range of standard deviations in grey levels.
    """
    size, options = low_size(hr), {"quality": (30, 95), "shot_noise": 0.3, "two_steps": 0.5}
    if rng.random() >= 1 / 3:
        return camera(hr, size, rng, (0.5, 3.2), noise, **options)
    enlargement = rng.uniform(1, 3)
    large = tuple(round(enlargement * side) for side in size)
    seen = camera(hr, large, rng, (0.5, 3.2), noise, **options)
    return camera(seen, size, rng, (0.2, 0.2 + 0.5 * enlargement), (0, noise[1] / 3), **options)


def camera(image, size, rng, blur, noise, quality, shot_noise=0.0, two_steps=0.0):
    """An RGB uint8 image as a poor camera takes it, ``size`` (width, height) pixels large.

    Anisotropic Gaussian blur, downscaling with one of three filters, Gaussian noise, JPEG. ``blur`` (pixels of the
    image), ``noise`` (grey levels) and ``quality`` are ranges to draw from; ``shot_noise`` is the share of images whose
    noise grows with the square root of brightness, ``two_steps`` that of images which had another size in between.
    """
    kernel = gaussian_kernel(*rng.uniform(*blur, 2), rng.uniform(0, np.pi))
    small = Image.fromarray(cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT))
    if two_steps and rng.random() < two_steps:
        share = rng.uniform(0, 1)
        between = (round(share * side + (1 - share) * target) for side, target in zip(small.size, size, strict=True))
        small = small.resize(tuple(between), draw_filter(rng))
    lr = np.asarray(small.resize(size, draw_filter(rng)))
    lr = add_noise(lr, rng.uniform(*noise), rng, shot=shot_noise and rng.random() < shot_noise)
    return compress(lr, int(rng.integers(quality[0], quality[1] + 1)))


def draw_filter(rng):
    return Image.Resampling(rng.choice([Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC]))


def gaussian_kernel(sigma_x, sigma_y, angle, radius=10):
    """An anisotropic Gaussian, turned by ``angle``, in radians: (2 radius + 1, 2 radius + 1), of sum 1."""
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    inverse = np.linalg.inv(rotation @ np.diag([sigma_x**2, sigma_y**2]) @ rotation.T)
    offsets = np.stack(np.meshgrid(*2 * [np.arange(-radius, radius + 1)]), -1)
    kernel = np.exp(-0.5 * np.einsum("...i,ij,...j", offsets, inverse, offsets))
    return kernel / kernel.sum()


def add_noise(image, sigma, rng, shot=False):
    """A uint8 image with Gaussian noise, the same in all channels in 40 % of cases.

    ``sigma`` is its standard deviation in grey levels, with ``shot`` that at white.
    """
    channels = 1 if rng.random() < 0.4 else 3
    noise = rng.normal(0, sigma, (*image.shape[:2], channels))
    return to_uint8(image + noise * np.sqrt(image / 255 if shot else 1))


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
    return to_uint8(image + spacing * pattern)


def compress(image: np.ndarray, quality: int, subsampling: int = 2) -> np.ndarray:
    """An RGB uint8 image (h, w, 3) after JPEG; ``subsampling`` 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(file).convert("RGB"))


def compress_randomly(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An image after JPEG of a quality between 30 and 95, one in four without chroma subsampling."""
    return compress(image, int(rng.integers(30, 96)), int(rng.choice([0, 2, 2, 2])))
