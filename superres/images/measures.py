"""What can be measured of an image, with its original or without, and the table that shows it.

Images are RGB uint8 (h, w, 3).
"""

from itertools import pairwise

import cv2
import numpy as np
from skimage.feature import structure_tensor
from skimage.measure import block_reduce, blur_effect
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from superres import SCALE
from superres.images.degrade import downscale
from superres.images.image import to_uint8

BLOCK = 16  # pixels each way, of ``difference_map``


def luma(rgb: np.ndarray) -> np.ndarray:
    """Y of BT.601 in [16, 235], float64 (h, w): what papers measure on."""
    return 16 + rgb @ np.array([65.481, 128.553, 24.966]) / 255


def psnr_ssim(original: np.ndarray, image: np.ndarray) -> tuple[float, float]:
    """PSNR in dB and SSIM of an image against its original, on Y without 4 pixels at each side.

    The protocol of the SRGAN paper (Ledig et al. 2017, section 3.1); SSIM with the 11x11 Gaussian window of Wang et
    al. 2004. Raises ValueError for images of different sizes, or too small for the window.
    """
    a, b = inner_luma(original), inner_luma(image)
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return psnr(original, image), structural_similarity(a, b, data_range=255, **window)


def psnr(original: np.ndarray, image: np.ndarray) -> float:
    """The PSNR of ``psnr_ssim`` alone, which takes much less time than the SSIM. It wants a pixel within the border."""
    return peak_signal_noise_ratio(inner_luma(original), inner_luma(image), data_range=255)


def inner_luma(rgb: np.ndarray, border: int = 4) -> np.ndarray:
    """``luma`` without ``border`` pixels at each side. Raises ValueError if nothing remains."""
    if min(rgb.shape[:2]) <= 2 * border:
        raise ValueError(f"expected an image of over {2 * border} pixels each way, got {rgb.shape[1]}x{rgb.shape[0]}")
    return luma(rgb)[border:-border, border:-border]


def blur(image: np.ndarray) -> float:
    """The no-reference measure of Crete et al. 2007 on Y: 0 is sharp, 1 is blurred."""
    return blur_effect(luma(image))


def consistency(low: np.ndarray, image: np.ndarray) -> float:
    """PSNR in dB of an image, reduced four times with antialiasing, against the low-resolution one it was made from."""
    return psnr(low, downscale(image))


def difference_map(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How far two images differ, in blocks of 16 pixels: mean absolute difference of their colours, in grey levels.

    uint8 of one shape, grey, RGB or RGBA; the map is float64 (h / 16, w / 16), rounded up. Without an original, that of
    SRGAN's and SRResNet's results tells where detail is likely to be invented.
    """
    colours = (np.atleast_3d(image)[..., :3].astype(np.float64) for image in (a, b))
    return block_means(np.abs(np.subtract(*colours)).mean(axis=2), BLOCK)


def block_means(values, block):
    """The means of the blocks of a plane; those at the right and the lower edge may be smaller."""
    return block_reduce(values, block, np.nanmean, cval=np.nan)


def heat_map(values: np.ndarray, shape: tuple[int, ...], top: float = 15) -> np.ndarray:
    """A ``difference_map`` as a picture of the image's shape, RGB uint8: black is 0, pale yellow ``top`` and above."""
    colours = cv2.applyColorMap(to_uint8(values * (255 / top)), cv2.COLORMAP_INFERNO)[..., ::-1]
    return colours.repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)[: shape[0], : shape[1]]


def checkerboard_strength(image: np.ndarray) -> float:
    """Strength of checkerboard artefacts: how fine detail differs among the 4x4 sub-pixels of a low-resolution pixel.

    Standard deviation over mean of the sub-pixels' mean absolute detail on Y; 0 is none, photographs have 0.01 to 0.06.
    The image's first row and column must be the first of a low-resolution pixel.
    """
    strength = np.abs(detail(luma(image)))
    height, width = (length // SCALE for length in strength.shape)
    by_pixel = strength[: height * SCALE, : width * SCALE].reshape(height, SCALE, width, SCALE)
    by_sub_pixel = by_pixel.mean(axis=(0, 2))
    return by_sub_pixel.std() / by_sub_pixel.mean() if by_sub_pixel.any() else 0.0


def fine_detail(image: np.ndarray) -> float:
    """Root mean square of Y, in grey levels, above 1/8 cycle per pixel: what an image 4 times smaller cannot hold."""
    frequency, power = power_per_frequency(image)
    return np.sqrt(power[frequency > 0.5 / SCALE].sum())


def coherence(image: np.ndarray, sigma: float = 4) -> float:
    """How far the gradients of Y within about ``sigma`` pixels share one orientation: 0 not at all, 1 entirely.

    Of the structure tensor smoothed by a Gaussian: difference of the eigenvalues over their sum, both summed over the
    image.
    """
    yy, yx, xx = structure_tensor(luma(image), sigma=sigma, mode="nearest")
    return np.hypot(yy - xx, 2 * yx).sum() / (yy + xx).sum()


def power_per_frequency(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The power spectrum of Y: frequencies (cycles per pixel, all directions) and powers (grey levels squared), (h, w).

    A Hann window suppresses the discontinuity at the image's borders; the powers add up to about the variance.
    """
    y = luma(image)
    window = np.outer(np.hanning(y.shape[0]), np.hanning(y.shape[1]))
    power = np.abs(np.fft.fft2((y - np.average(y, weights=window)) * window)) ** 2 / (window**2).sum() / y.size
    return np.hypot(*np.meshgrid(*map(np.fft.fftfreq, y.shape), indexing="ij")), power


def radial_spectrum(image: np.ndarray, bins: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Radially averaged power spectrum of Y: frequencies up to 0.5 cycles per pixel, and the mean power at each."""
    frequency, power = power_per_frequency(image)
    edges = np.linspace(0, 0.5, bins + 1)
    total, _ = np.histogram(frequency, edges, weights=power)
    count, _ = np.histogram(frequency, edges)
    return (edges[1:] + edges[:-1]) / 2, total / count


def flicker(frames, originals, step=2):
    """How much static pixels change: mean frame-to-frame difference of Y, in grey levels.

    frames, originals: RGB uint8 (h, w, 3) of one clip, frame by frame. Static is where Y of the originals changes by at
    most ``step``; the originals' own flicker is ``flicker(originals, originals)``. 0 where nothing is static.
    """
    changes, count = 0.0, 0
    for (frame, original), (following, original_following) in pairwise(zip(frames, originals, strict=True)):
        static = np.abs(luma(original_following) - luma(original)) <= step
        changes += np.abs(luma(following) - luma(frame))[static].sum()
        count += static.sum()
    return changes / max(count, 1)


def changed_static_pixels(frames, shown):
    """Of the pixels that ``frames`` leave as they were in the frame before, the share that changes in ``shown``.

    Both are clips of uint8 images of one shape. 0 where nothing is static.
    """
    static = changed = 0
    for (before, after), (shown_before, shown_after) in zip(pairwise(frames), pairwise(shown), strict=True):
        same = (before == after).all(axis=-1)
        static += same.sum()
        changed += (same & (shown_before != shown_after).any(axis=-1)).sum()
    return changed / static if static else 0.0


def markdown_table(header, rows) -> str:
    """A table whose first column is text, aligned left, and whose others are numbers, aligned right."""
    lines = [header, (":---", *("---:" for _ in header[1:])), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def over_sharpened(original: np.ndarray, image: np.ndarray, block: int = 32) -> float:
    """Share of the blocks, in [0, 1], whose fine detail exceeds the original's by over a quarter and a grey level.

    Fine detail is the root mean square of Y less a Gaussian of sigma 1.5.
    """
    new, old = (np.sqrt(block_means(detail(luma(rgb)) ** 2, block)) for rgb in (image, original))
    return np.mean((new > 1.25 * old) & (new > old + 1))


def detail(y):
    return y - cv2.GaussianBlur(y, (0, 0), 1.5)
