"""From high to low resolution: the degradations that the networks are trained for and measured on."""

import io

import cv2
import numpy as np
from PIL import Image

from superres import SCALE
from superres.image import bicubic_downscale, to_uint8

# The ways in which an image becomes small. See ``degrade``.
DEGRADATIONS = ("clean", "cv2", "gif", "jpeg", "photo")


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
    - ``photo``: blur, downscaling, sensor noise, JPEG (see ``photograph``)

    Without ``rng`` the parameters are those of evaluation: 256 colours with Floyd-Steinberg dithering, JPEG quality 80,
    and for ``photo`` some that depend on the image alone. With a ``numpy.random.Generator`` they are drawn: 64-256
    colours with Floyd-Steinberg, ordered or no dithering, JPEG quality 30-95 with or without chroma subsampling. Half
    of the originals for ``cv2`` get grain first, a third of the images for ``gif`` and ``jpeg`` noise once they are
    small. One in four is a combination: for ``cv2`` the original, for ``gif`` the downscaled image is compressed as a
    JPEG first, for ``jpeg`` the image is downscaled as in ``cv2``.

    Raises ValueError for any other degradation.
    """
    if degradation not in DEGRADATIONS:
        raise ValueError(f"unknown degradation {degradation!r}, expected {', '.join(DEGRADATIONS)}")
    if rng is None:
        return degrade_for_evaluation(hr, degradation)
    if degradation == "photo":
        # With less noise, a compressed image would look like a blurred one, and be sharpened.
        return photograph(hr, rng, blur=(0.5, 3.2), noise=(3, 15), quality=(40, 95), shot_noise=0.3)
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
    if degradation == "photo":
        rng = np.random.default_rng(int(hr.sum(dtype=np.int64)))
        return photograph(hr, rng, blur=(0.8, 3.2), noise=(2, 12), quality=(50, 90))
    if degradation == "cv2":
        return bicubic_downscale(hr)
    lr = downscale(hr)
    if degradation == "gif":
        return reduce_palette(lr, 256, "floyd-steinberg")
    return compress(lr, 80) if degradation == "jpeg" else lr


def photograph(hr, rng, blur, noise, quality, shot_noise=0.0):
    """What a poor camera makes of a scene, as one round of the degradations of BSRGAN (Zhang et al. 2021, section 3).

    Anisotropic Gaussian blur, downscaling with one of three filters, Gaussian noise, JPEG. ``blur`` (pixels of ``hr``),
    ``noise`` (grey levels) and ``quality`` are ranges to draw from, ``shot_noise`` is the share of images whose noise
    grows with the square root of brightness.
    """
    blurred = cv2.filter2D(
        hr, -1, gaussian_kernel(*rng.uniform(*blur, 2), rng.uniform(0, np.pi)), borderType=cv2.BORDER_REFLECT
    )
    resample = Image.Resampling(rng.choice([Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC]))
    lr = np.asarray(Image.fromarray(blurred).resize((hr.shape[1] // SCALE, hr.shape[0] // SCALE), resample))
    lr = add_noise(lr, rng.uniform(*noise), rng, shot=shot_noise and rng.random() < shot_noise)
    return compress(lr, int(rng.integers(quality[0], quality[1] + 1)))


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
