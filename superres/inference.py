"""An image of any size and kind through a network: tiles, precision, grey and alpha."""

import functools
import weakref

import cv2
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from superres.network import SCALE
from superres.strips import STRIP_AREA, Strips, to_uint8

# Columns that the generator takes at once, so that memory does not grow with the image's width.
COLUMNS = 1024

# Pixels to each side that a pixel of the SRCNN's depends on, 9x9, 5x5 and 5x5, and the side of its tiles.
SRCNN_RADIUS = 4 + 2 + 2
SRCNN_TILE = 512


class Upscaler:
    """A generator made ready to run: fused, traced once for all sizes, in memory that does not grow with the image.

    Its weights are those the model has now; training the model further does not change it.

    model: a ``network.generator``.  dtype: "float32", or "bfloat16", which is faster on processors with AMX.
    """

    def __init__(self, model, dtype="float32"):
        self.strips = Strips(model, dtype)

    def __call__(self, image, columns=COLUMNS, area=STRIP_AREA, progress=False):
        """RGB uint8 (h, w, 3) to uint8 (4h, 4w, 3), the same for all ``columns`` and strip areas but for rounding."""
        height, width = image.shape[:2]
        result = np.empty((height * SCALE, width * SCALE, 3), np.uint8)
        column_spans = spans(width, columns)
        with tqdm(total=len(column_spans) * len(result), unit="row", disable=not progress) as bar:
            for left, right in column_spans:
                start = max(left - self.strips.radius, 0)
                top = 0
                for strip in self.strips(image[:, start : right + self.strips.radius], area):
                    inner = strip[:, (left - start) * SCALE : (right - start) * SCALE]
                    result[top : top + len(strip), left * SCALE : right * SCALE] = inner
                    top += len(strip)
                    bar.update(len(strip))
        return result


class SRCNNUpscaler:
    """An SRCNN made ready to run, in float32: upscales by bicubic interpolation, then refines."""

    def __init__(self, model):
        self.model = traced(model)

    def __call__(self, image, tile=SRCNN_TILE, progress=False):
        """RGB uint8 (h, w, 3) to uint8 (4h, 4w, 3)."""
        upscaled = cv2.resize(image, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_CUBIC)
        return tiled(self.refine, upscaled, SRCNN_RADIUS, tile, progress)

    def refine(self, patch):
        return to_uint8(self.model(patch[None].astype(np.float32))[0]).numpy()


_ready = weakref.WeakKeyDictionary()


def ready(model, dtype="float32"):
    """The callable that runs this Keras model, made on first use. Raises ValueError for any other dtype."""
    if dtype not in ("float32", "bfloat16"):
        raise ValueError(f"expected dtype float32 or bfloat16, got {dtype!r}")
    by_dtype = _ready.setdefault(model, {})
    if dtype not in by_dtype:
        is_generator = any(layer.name == "head" for layer in model.layers)
        by_dtype[dtype] = Upscaler(model, dtype) if is_generator else SRCNNUpscaler(model)
    return by_dtype[dtype]


def traced(model):
    """The model as one graph that serves every batch, height and width."""
    signature = tf.TensorSpec((None, None, None, model.input_shape[-1]), model.inputs[0].dtype)
    return tf.function(functools.partial(model, training=False), input_signature=[signature], autograph=False)


def tiled(function, x, radius, tile, progress=False):
    """``function`` over an image (h, w, 3), tile by tile, each with ``radius`` pixels around it: uint8 (h, w, 3).

    The tiles are even in size, so that none is a sliver that is all surroundings.
    """
    height, width = x.shape[:2]
    result = np.empty((height, width, 3), np.uint8)
    tiles = [(rows, columns) for rows in spans(height, tile) for columns in spans(width, tile)]
    for (top, bottom), (left, right) in tqdm(tiles, unit="tile", disable=not progress or len(tiles) == 1):
        y, x0 = max(top - radius, 0), max(left - radius, 0)
        patch = function(x[y : bottom + radius, x0 : right + radius])
        result[top:bottom, left:right] = patch[top - y : bottom - y, left - x0 : right - x0]
    return result


def spans(length, most):
    """Cut [0, length) into the fewest spans of at most ``most``, even in length."""
    cuts = np.linspace(0, length, -(-length // most) + 1).round().astype(int)
    return list(zip(cuts[:-1], cuts[1:], strict=True))


def upscale(image, model, dtype="float32", progress=False):
    """A uint8 image through a model, whatever its kind: grey (h, w), RGB (h, w, 3) or RGBA (h, w, 4), to the same x4.

    Alpha is upscaled by bicubic interpolation. Raises ValueError for any other array.
    """
    check(image)
    run = functools.partial(ready(model, dtype), progress=progress)
    if image.ndim == 2:
        return cv2.cvtColor(run(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)), cv2.COLOR_RGB2GRAY)
    if image.shape[2] == 3:
        return run(image)
    alpha = cv2.resize(image[..., 3], None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_CUBIC)
    return np.dstack([run(cover_hidden(image)), alpha])


def check(image):
    """Raise ValueError unless the image is grey, RGB or RGBA, uint8, and not empty."""
    if not isinstance(image, np.ndarray):
        raise ValueError(f"expected an image as a NumPy array, got {type(image).__name__}")
    kind = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))
    if image.dtype != np.uint8 or not kind or not image.size:
        raise ValueError(
            f"expected a uint8 image of shape (h, w), (h, w, 3) or (h, w, 4), got {image.dtype} of shape {image.shape}"
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
