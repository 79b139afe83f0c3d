"""Images with transparency: what lies hidden where nothing shows does not show in the result."""

import functools

import cv2
import numpy as np


def bicubic(image, **size):
    """``cv2.resize`` of a uint8 image with INTER_CUBIC to ``dsize`` or by ``fx`` and ``fy``.

    Colours are weighted with their alpha: what lies hidden where an image is transparent does not show.
    """
    resize = functools.partial(cv2.resize, **{"dsize": None, "interpolation": cv2.INTER_CUBIC, **size})
    if image.shape[2:] != (4,) or image[..., 3].min() == 255:
        return resize(image)
    alpha = image[..., 3].astype(np.float32)
    weight = np.maximum(resize(alpha), 1e-3)
    channels = [resize(image[..., i] * alpha) / weight for i in range(3)]
    return np.dstack(
        [*(np.round(channel.clip(0, 255)).astype(np.uint8) for channel in channels), resize(image[..., 3])]
    )


def cover_hidden(rgba):
    """The colours of an RGBA image, where it is fully transparent those of the nearest visible pixel.

    What lies hidden there, often black, would otherwise show as a fringe along the edge.
    """
    rgb, hidden = rgba[..., :3], rgba[..., 3] == 0
    if hidden.all() or not hidden.any():
        return np.ascontiguousarray(rgb)
    _, nearest = cv2.distanceTransformWithLabels(
        hidden.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    colours = np.zeros((nearest.max() + 1, 3), np.uint8)
    colours[nearest[~hidden]] = rgb[~hidden]
    return colours[nearest]
