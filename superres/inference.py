"""An image of any size and kind through a network: tiles, precision, grey and alpha."""

import contextlib
import functools
import weakref

import cv2
import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from superres.files import check, one_line
from superres.network import SCALE
from superres.strips import STRIP_AREA, Strips, to_uint8

# Columns that the generator takes at once, so that memory does not grow with the image's width.
COLUMNS = 1024

# The side of a tile's result, and the pixels around a tile that the model sees as well.
TILE = 512
OVERLAP = 32

# Mean difference in grey levels up to which the fast graph counts as the model's map.
TOLERANCE = {"float32": 0.1, "bfloat16": 3}

EXPECTED_MODEL = (
    f"expected a model from RGB in [0, 255], (b, h, w, 3) of any size, to the same x{SCALE}, "
    "or x1 to refine an image already upscaled"
)


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


class TiledUpscaler:
    """Any other model, in float32, tile by tile with ``OVERLAP`` pixels around each.

    A model of scale 1, such as an SRCNN, is given the image upscaled by bicubic interpolation.
    """

    def __init__(self, model, scale):
        self.model, self.scale = traced(model), scale

    def __call__(self, image, tile=TILE, progress=False):
        """RGB uint8 (h, w, 3) to uint8 (4h, 4w, 3), in tiles whose results are ``tile`` pixels wide and high."""
        if self.scale == 1:
            image = cv2.resize(image, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_CUBIC)
        return tiled(self.refine, image, OVERLAP, tile // self.scale, self.scale, progress)

    def refine(self, patch):
        return to_uint8(tf.cast(self.model(tf.constant(patch[None], tf.float32))[0], tf.float32)).numpy()


_ready = weakref.WeakKeyDictionary()


def ready(model, dtype="float32"):
    """The callable that runs this Keras model, made on first use and again once the model's weights have changed.

    A model of the same map as a ``network.generator`` runs as one, whatever the names of its layers; another of scale 4
    or 1 as it is. Raises ValueError for any other dtype, type or scale.
    """
    if dtype not in ("float32", "bfloat16"):
        raise ValueError(f"expected dtype float32 or bfloat16, got {dtype!r}")
    if not isinstance(model, keras.Model):
        raise ValueError(f"expected a Keras model, got {type(model).__name__}")
    by_dtype = _ready.setdefault(model, {})
    upscaler, weights = by_dtype.get(dtype, (None, []))
    if upscaler is None or not all(map(np.array_equal, map(values, model.weights), weights)):
        upscaler = upscaler_of(model, dtype)
        by_dtype[dtype] = upscaler, model.get_weights()
    return upscaler


def values(variable):
    """A Keras variable's array, not copied: its own ``numpy()`` takes as long as a small image."""
    return np.asarray(tf.raw_ops.ReadVariableOp(resource=variable.value.handle, dtype=variable.value.dtype))


def upscaler_of(model, dtype):
    """The fastest callable that does what the model does on a small image."""
    shape = getattr(model, "input_shape", (None, None, None, 3))  # a subclassed model has none
    if shape[1:] != (None, None, 3):
        raise ValueError(f"{EXPECTED_MODEL}, but {model.name} takes {shape}")
    image = np.random.default_rng(0).integers(0, 256, (13, 18, 3), np.uint8)  # odd, and not square
    try:
        result = to_uint8(tf.cast(model(image[None].astype(np.float32), training=False), tf.float32)).numpy()[0]
    except Exception as error:
        raise ValueError(f"{EXPECTED_MODEL}, but {model.name} fails: {one_line(error)}") from error
    scales = {tuple(np.multiply(image.shape, (scale, scale, 1))): scale for scale in (1, SCALE)}
    if result.shape not in scales:
        raise ValueError(f"{EXPECTED_MODEL}, but {model.name} makes {result.shape} of {image.shape}")
    if scales[result.shape] == 1:
        return TiledUpscaler(model, 1)
    with contextlib.suppress(ValueError):
        upscaler = Upscaler(model, dtype)
        if np.abs(upscaler(image).astype(float) - result).mean() < TOLERANCE[dtype]:
            return upscaler
    return TiledUpscaler(model, SCALE)


def traced(model):
    """The model as one graph that serves every batch, height and width. It reads the weights at every call."""
    signature = tf.TensorSpec((None, None, None, 3), tf.float32)
    function = tf.function(functools.partial(model, training=False), input_signature=[signature], autograph=False)
    return function.get_concrete_function()


def tiled(function, x, radius, tile, scale=1, progress=False):
    """``function`` over an image (h, w, 3), tile by tile, each with ``radius`` pixels around it: uint8, ``scale`` times
    as large.

    The tiles are even in size, so that none is a sliver that is all surroundings.
    """
    height, width = x.shape[:2]
    result = np.empty((height * scale, width * scale, 3), np.uint8)
    tiles = [(rows, columns) for rows in spans(height, tile) for columns in spans(width, tile)]
    for (top, bottom), (left, right) in tqdm(tiles, unit="tile", disable=not progress or len(tiles) == 1):
        y, x0 = max(top - radius, 0), max(left - radius, 0)
        patch = function(x[y : bottom + radius, x0 : right + radius])
        inner = np.s_[(top - y) * scale : (bottom - y) * scale, (left - x0) * scale : (right - x0) * scale]
        result[top * scale : bottom * scale, left * scale : right * scale] = patch[inner]
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
