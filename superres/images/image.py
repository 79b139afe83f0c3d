"""What an image is: a uint8 array, grey (h, w), RGB (h, w, 3) or RGBA (h, w, 4); and how its size is changed."""

import os
from numbers import Integral, Real

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

from superres import SCALE

# The largest image that is read or written: 16384x16384, 1 GB in RGBA.
MAX_PIXELS = 2**28

MOST_RESIZED = SCALE**2 * MAX_PIXELS  # pixels of a result of ``bicubic_upscale``


def check_image(image: np.ndarray) -> None:
    """Raise ValueError unless the image is a non-empty uint8 array, grey (h, w), RGB (h, w, 3) or RGBA (h, w, 4)."""
    if not isinstance(image, np.ndarray):
        raise ValueError(f"expected an image as a NumPy array, got {type(image).__name__}")
    known = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))
    if image.dtype != np.uint8 or not known or not image.size:
        raise ValueError(
            f"expected a uint8 image of shape (h, w), (h, w, 3) or (h, w, 4), got {image.dtype} of shape {image.shape}"
        )


def check_whole(name: str, value: int, least: int = 1, most: float = np.inf) -> None:
    """Raise ValueError unless the argument of this name is a whole number from ``least`` to ``most``."""
    if not isinstance(value, Integral) or isinstance(value, bool) or not least <= value <= most:
        limit = f" to {most}" * (most < np.inf)
        raise ValueError(f"{name} is {value!r}, expected a whole number from {least}{limit}")


def check_size(path: str | os.PathLike, width: int, height: int, most: int | None = None) -> None:
    """Raise ValueError, naming the file, for an image of more pixels than ``most``, or ``MAX_PIXELS``."""
    most = MAX_PIXELS if most is None else most
    if width * height > most:
        raise ValueError(f"{path}: too large: {width}x{height} pixels, expected at most {most:,} in all")


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Grey levels of any dtype, clipped to [0, 255] and rounded."""
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


def bicubic_upscale(image: np.ndarray, scale: float = SCALE) -> np.ndarray:
    """Enlarge a uint8 image (h, w[, 3 or 4]) ``scale`` times each way: ``cv2.resize`` with INTER_CUBIC.

    With alpha, colours are interpolated premultiplied by it. Raises ValueError for any other array, or a scale below 1.

    >>> bicubic_upscale(np.zeros((3, 5, 3), np.uint8)).shape
    (12, 20, 3)
    """
    check_image(image)
    height, width = image.shape[:2]
    most = (MOST_RESIZED / (width * height)) ** 0.5
    if not isinstance(scale, Real) or isinstance(scale, bool) or not 1 <= scale <= most:
        raise ValueError(
            f"cannot enlarge an image of {width}x{height} {scale!r} times: expected a number from 1 to {most:.0f}"
        )
    return resize(image, round(width * scale), round(height * scale))


def bicubic_downscale(image: np.ndarray, scale: int = SCALE) -> np.ndarray:
    """Reduce a uint8 image (h, w[, 3 or 4]) to (h // scale, w // scale): ``cv2.resize`` with INTER_CUBIC.

    This is the assignment's step. It does not smooth first, so fine detail turns into aliasing. Alpha as in
    ``bicubic_upscale``. Raises ValueError for any other array, or a scale that is no whole number or leaves no pixel.

    >>> bicubic_downscale(np.zeros((12, 21, 3), np.uint8)).shape
    (3, 5, 3)
    """
    check_image(image)
    height, width = image.shape[:2]
    if not isinstance(scale, Integral) or isinstance(scale, bool) or not 1 <= scale <= min(height, width):
        raise ValueError(
            f"cannot reduce an image of {width}x{height} pixels {scale!r} times: expected a whole number from 1, "
            "and an image at least as wide and high"
        )
    return resize(image, width // scale, height // scale)


def resize(image, width, height):
    """``cv2.resize`` with INTER_CUBIC, colours weighted with their alpha: what lies hidden under it does not show."""

    def interpolate(channels):
        return cv2.resize(channels, (width, height), interpolation=cv2.INTER_CUBIC)

    if image.shape[2:] != (4,) or image[..., 3].min() == 255:
        return interpolate(image)
    alpha = image[..., 3].astype(np.float32)
    weight = np.maximum(interpolate(alpha), 1e-3)
    colours = [to_uint8(interpolate(image[..., i] * alpha) / weight) for i in range(3)]
    return np.dstack([*colours, interpolate(image[..., 3])])


def cover_hidden(rgba: np.ndarray) -> np.ndarray:
    """The colours of an RGBA image (h, w, 4), where it is fully transparent those of the nearest visible pixel.

    What lies hidden there, often black, would otherwise show as a fringe along the edge.
    """
    rgb, hidden = rgba[..., :3], rgba[..., 3] == 0
    if hidden.all() or not hidden.any():
        return np.ascontiguousarray(rgb)
    nearest = distance_transform_edt(hidden, return_distances=False, return_indices=True)
    return rgb[tuple(nearest)]
