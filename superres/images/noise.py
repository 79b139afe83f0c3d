"""How noisy an image is."""

from collections.abc import Callable

import cv2
import numpy as np

from superres.images.degrade import downscale

SIDE, BORDER = 96, 4  # pixels: of the middle of an image, which is looked at, and what is left out around it
BLOCK = 8  # pixels
SMOOTH = 1.5  # grey levels of texture: an image with blocks below it has no noise that one sees
VISIBLE = 3.3  # grey levels, from which on noise shows; tuned on images/kinds, as is SMOOTH


def visible_noise(image: np.ndarray, denoise: Callable[[np.ndarray], np.ndarray]) -> float:
    """The standard deviation of an image's noise in grey levels; 0 if it is not visible.

    image: RGB uint8 (h, w, 3).  denoise: function from an image to the same x4 without noise.

    Noise is what ``denoise`` takes away from the middle of the image, even where it takes away least: texture and edges
    stay. It is not called for an image with smooth areas.
    """
    if min(image.shape[:2]) < BLOCK + 2 * BORDER or np.percentile(texture(image, sigma=2), 10) < SMOOTH:
        return 0.0
    top, left = (max(length - SIDE, 0) // 2 for length in image.shape[:2])
    middle = np.ascontiguousarray(image[top : top + SIDE, left : left + SIDE])
    taken = middle.astype(np.float32) - downscale(denoise(middle))
    taken = texture(taken[BORDER:-BORDER, BORDER:-BORDER], sigma=4)
    return float(np.median(taken)) if np.percentile(taken, 25) >= VISIBLE else 0.0


def texture(image, sigma):
    """The root mean square in each block of an image less a Gaussian of itself."""
    detail = image.astype(np.float32)
    detail -= cv2.GaussianBlur(detail, (0, 0), sigma)
    height, width = (length // BLOCK for length in image.shape[:2])
    blocks = detail[: height * BLOCK, : width * BLOCK].reshape(height, BLOCK, width, BLOCK, 3)
    return np.sqrt((blocks**2).mean(axis=(1, 3, 4)))
