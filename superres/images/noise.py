"""How noisy an image is."""

from collections.abc import Callable

import cv2
import numpy as np

from superres.images.degrade import downscale

Upscale = Callable[[np.ndarray], np.ndarray]

SIDE, BORDER = 96, 4  # pixels: of the middle of an image, which is looked at, and what is left out around it
BLOCK = 8  # pixels
SMOOTH = 1.5  # grey levels of texture: an image with blocks below it has no noise that one sees
VISIBLE, COMMON = 3.4, 1.35  # grey levels, from which on noise shows; tuned on images/kinds, as is SMOOTH


def visible_noise(image: np.ndarray, denoise: Upscale, upscale: Upscale) -> float:
    """Estimate the standard deviation of an image's noise in grey levels; 0 if it is not visible.

    image: RGB uint8 (h, w, 3).  denoise, upscale: functions from an image to the same x4, without noise and with it.

    Noise is what ``denoise`` takes away from the middle of the image, even where it takes away least: texture and edges
    stay. ``upscale`` must take some of it away as well: where it does not, ``denoise`` has put texture in its place.
    Neither is called for an image with smooth areas.
    """
    if min(image.shape[:2]) < BLOCK + 2 * BORDER or np.percentile(texture(image, sigma=2), 10) < SMOOTH:
        return 0.0
    top, left = (max(length - SIDE, 0) // 2 for length in image.shape[:2])
    middle = np.ascontiguousarray(image[top : top + SIDE, left : left + SIDE])

    def taken_by(network):
        difference = middle.astype(np.float32) - downscale(network(middle))
        return texture(difference[BORDER:-BORDER, BORDER:-BORDER], sigma=4)

    if np.percentile(taken_by(upscale), 25) < COMMON:  # first, since ``denoise`` may still have to be loaded
        return 0.0
    taken = taken_by(denoise)
    return float(np.median(taken)) if np.percentile(taken, 25) >= VISIBLE else 0.0


def texture(image, sigma):
    """The root mean square in each block of an image less a Gaussian of itself."""
    # Without ``measures``, whose imports would take the command line a second.
    detail = image.astype(np.float32)
    detail -= cv2.GaussianBlur(detail, (0, 0), sigma)
    height, width = (length // BLOCK for length in image.shape[:2])
    blocks = detail[: height * BLOCK, : width * BLOCK].reshape(height, BLOCK, width, BLOCK, 3)
    return np.sqrt((blocks**2).mean(axis=(1, 3, 4)))
