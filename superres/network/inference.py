"""An image of any size and kind through a network: tiles, precision, grey and alpha."""

import contextlib
import functools
import itertools
import warnings
import weakref
from collections.abc import Callable

import cv2
import numpy as np
from tqdm import tqdm

from superres import SCALE, one_line
from superres.images.image import bicubic_upscale, cover_hidden
from superres.network.backend import has_native_bfloat16, keras, tf
from superres.network.strips import STRIP_AREA, Strips, to_uint8

# Columns that the generator takes at once, so that memory does not grow with the image's width.
COLUMNS = 1024

# The side of a tile's result, and the pixels around a tile that the model sees as well.
TILE = 512
OVERLAP = 32

# Mean difference in grey levels up to which the fast graph counts as the model's map.
TOLERANCE = {"float32": 0.1, "bfloat16": 3}
DTYPES = ("auto", *TOLERANCE)

EXPECTED_MODEL = (
    f"expected a model from RGB in [0, 255], (b, h, w, 3) of any size, to the same x{SCALE}, "
    "or x1 to refine an image already upscaled"
)


def ignore(pixels):
    """Where nobody asks for the progress."""


class Upscaler:
    """A generator made ready to run: fused, traced once for all sizes, in memory that does not grow with the image.

    Its weights are those the model has now; training the model further does not change it.

    model: a ``network.generator``.  dtype: that of the arithmetic, "float32" or "bfloat16".
    """

    def __init__(self, model, dtype="float32"):
        self.strips, self.dtype = Strips(model, dtype), dtype

    def __call__(self, image, columns=COLUMNS, area=STRIP_AREA, advance=ignore):
        """RGB uint8 (h, w, 3) to uint8 (4h, 4w, 3), the same for all ``columns`` and strip areas but for rounding."""
        height, width = image.shape[:2]
        result = np.empty((height * SCALE, width * SCALE, 3), np.uint8)
        for left, right in spans(width, columns):
            start = max(left - self.strips.radius, 0)
            top = 0
            for strip in self.strips(image[:, start : right + self.strips.radius], area):
                inner = strip[:, (left - start) * SCALE : (right - start) * SCALE]
                result[top : top + len(strip), left * SCALE : right * SCALE] = inner
                top += len(strip)
                advance(inner.shape[0] * inner.shape[1])
        return result


class TiledUpscaler:
    """Any other model, in float32, tile by tile with ``OVERLAP`` pixels around each.

    A model of scale 1, such as an SRCNN, is given the image upscaled by bicubic interpolation.
    """

    def __init__(self, model, scale):
        self.model, self.scale, self.dtype = as_graph(model), scale, "float32"

    def __call__(self, image, tile=TILE, advance=ignore):
        """RGB uint8 (h, w, 3) to uint8 (4h, 4w, 3), in tiles whose results are ``tile`` pixels wide and high."""
        if self.scale == 1:
            image = bicubic_upscale(image)
        return tiled(self.refine, image, OVERLAP, tile // self.scale, self.scale, advance)

    def refine(self, patch):
        return to_uint8(tf.cast(self.model(tf.constant(patch[None], tf.float32))[0], tf.float32)).numpy()


_upscalers = weakref.WeakKeyDictionary()


def upscaler_for(model, dtype="auto"):
    """The callable that runs this Keras model, made on first use and again once the model's weights have changed.

    A model of the same map as a ``network.generator`` runs as one, whatever the names of its layers; another of scale 4
    or 1 as it is, in one graph. Its ``dtype`` is that of the arithmetic.

    Raises ValueError for any other dtype, type or scale; for a model that fails, runs only eagerly or makes values that
    are infinite or no numbers; and where Keras does not run on TensorFlow.
    """
    if dtype not in DTYPES:
        raise ValueError(f"expected dtype {', '.join(DTYPES[:-1])} or {DTYPES[-1]}, got {dtype!r}")
    if dtype == "auto":
        dtype = "bfloat16" if has_native_bfloat16() else "float32"
    if not isinstance(model, keras.Model):
        raise ValueError(f"expected a Keras model, got {type(model).__name__}")
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"Keras runs on {keras.backend.backend()}, expected TensorFlow: KERAS_BACKEND=tensorflow sets it"
        )
    by_dtype = _upscalers.setdefault(model, {})
    upscaler, weights = by_dtype.get(dtype, (None, []))
    if upscaler is None or not all(map(np.array_equal, map(raw_values, model.weights), weights)):
        upscaler = make_upscaler(model, dtype)
        by_dtype[dtype] = upscaler, model.get_weights()
    return upscaler


def raw_values(variable):
    """A Keras variable's array, not copied: its own ``numpy()`` takes as long as a small image."""
    return np.asarray(tf.raw_ops.ReadVariableOp(resource=variable.value.handle, dtype=variable.value.dtype))


def make_upscaler(model, dtype):
    """The fastest callable that does what the model does on a small image."""
    shape = getattr(model, "input_shape", (None, None, None, 3))  # a subclassed model has none
    if shape[1:] != (None, None, 3):
        raise ValueError(f"{EXPECTED_MODEL}, but {model.name} takes {shape}")
    image = np.random.default_rng(0).integers(0, 256, (13, 18, 3), np.uint8)  # odd, and not square
    with failing_as_value_error(model):
        values = tf.cast(model(image[None].astype(np.float32), training=False), tf.float32)
    result = to_uint8(values).numpy()[0]
    scales = {tuple(np.multiply(image.shape, (scale, scale, 1))): scale for scale in (1, SCALE)}
    if result.shape not in scales:
        raise ValueError(f"{EXPECTED_MODEL}, but {model.name} makes {result.shape} of {image.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{model.name} makes values that are infinite or no numbers, as weights of that kind do")
    with contextlib.suppress(ValueError):
        upscaler = Upscaler(model, dtype)
        if np.abs(upscaler(image).astype(float) - result).mean() < TOLERANCE[dtype]:
            if dtype == "bfloat16" and not has_native_bfloat16():
                warnings.warn("this processor has no bfloat16: float32 is faster and more exact", stacklevel=4)
            return upscaler
    with failing_as_value_error(model):
        return TiledUpscaler(model, scales[result.shape])


@contextlib.contextmanager
def failing_as_value_error(model):
    """Whatever a user's own model raises, in one sentence."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"{EXPECTED_MODEL}, but {model.name} fails: {one_line(error)}") from error


def as_graph(model):
    """The model as one graph that serves every batch, height and width. It reads the weights at every call."""
    signature = tf.TensorSpec((None, None, None, 3), tf.float32)
    function = tf.function(functools.partial(model, training=False), input_signature=[signature], autograph=False)
    return function.get_concrete_function()


def tiled(function, x, radius, tile, scale=1, advance=ignore):
    """``function`` over an image (h, w, 3), tile by tile, each with ``radius`` pixels around it: uint8, ``scale`` times
    as large.

    The tiles are even in size, so that no tile is much smaller than its surroundings.
    """
    height, width = x.shape[:2]
    result = np.empty((height * scale, width * scale, 3), np.uint8)
    for (top, bottom), (left, right) in itertools.product(spans(height, tile), spans(width, tile)):
        y, x0 = max(top - radius, 0), max(left - radius, 0)
        patch = function(x[y : bottom + radius, x0 : right + radius])
        inner = np.s_[(top - y) * scale : (bottom - y) * scale, (left - x0) * scale : (right - x0) * scale]
        result[top * scale : bottom * scale, left * scale : right * scale] = patch[inner]
        advance((bottom - top) * (right - left) * scale**2)
    return result


def spans(length, most):
    """Cut [0, length) into the fewest spans of at most ``most``, even in length."""
    cuts = np.linspace(0, length, -(-length // most) + 1).round().astype(int)
    return list(zip(cuts[:-1], cuts[1:], strict=True))


def upscale(image, upscaler, progress: bool | Callable[[int], object] = False):
    """A uint8 image through what ``upscaler_for`` gives, grey (h, w), RGB (h, w, 3) or RGBA (h, w, 4), to the same x4.

    Alpha is upscaled by bicubic interpolation. ``progress`` is that of ``srgan.apply_srgan``.

    TensorFlow does not survive a fork: processes that upscale as well must be started by spawn.
    """
    total = SCALE**2 * image.shape[0] * image.shape[1]
    with tqdm(total=total, unit="pixel", unit_scale=True, disable=progress is not True) as bar:
        run = functools.partial(upscaler, advance=progress if callable(progress) else bar.update)
        if image.ndim == 2:
            return cv2.cvtColor(run(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)), cv2.COLOR_RGB2GRAY)
        if image.shape[2] == 3:
            return run(image)
        return np.dstack([run(cover_hidden(image)), bicubic_upscale(image[..., 3])])
