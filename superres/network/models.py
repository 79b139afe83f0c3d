"""The networks, and their weights rearranged for fast inference.

Every model maps RGB in [0, 255], float32 (b, h, w, 3), to the same range, so that the course's
``model.predict(image[None])`` works with each of them.
"""

import itertools
from typing import NamedTuple

import numpy as np

from superres.network.backend import keras

layers = keras.layers


@keras.saving.register_keras_serializable("superres")
class DepthToSpace(layers.Layer):
    """Sub-pixel shuffle (Shi et al. 2016, eq. 4) in TensorFlow's channel order: (b, h, w, 4c) -> (b, 2h, 2w, c)."""

    def call(self, x):
        batch, height, width, channels = keras.ops.shape(x)
        x = keras.ops.reshape(x, (batch, height, width, 2, 2, channels // 4))
        x = keras.ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return keras.ops.reshape(x, (batch, 2 * height, 2 * width, channels // 4))


def generator(
    blocks: int = 16,
    channels: int = 64,
    batch_norm: bool = False,
    tanh: bool = False,
    name: str = "generator",
    dtype: str | None = None,
) -> keras.Model:
    """SRGAN's generator (Ledig et al. 2017, fig. 4), x4; trained without the adversarial loss, it is SRResNet.

    The defaults are this project's topology: no batch normalisation (as EDSR and ESRGAN) and a linear output.
    ``batch_norm=True, tanh=True`` is the paper's and the course's. ``dtype`` is that of the layers, by default Keras's
    policy, which training sets. The channels come last, whatever Keras's setting.
    """

    def conv(x, filters, size, name):
        return conv2d(filters, size, name, dtype)(x)

    def normalised(x, name):
        x = conv(x, channels, 3, name)
        return layers.BatchNormalization(name=f"{name}_bn", dtype=dtype)(x) if batch_norm else x

    def prelu(x, name):
        return layers.PReLU(shared_axes=[1, 2], name=name, dtype=dtype)(x)

    inputs = rgb_input("lr")
    x = layers.Rescaling(1 / 255, name="to_unit", dtype=dtype)(inputs)
    x = skip = prelu(conv(x, channels, 9, "head"), "head_prelu")
    for block in block_names(blocks):
        y = prelu(normalised(x, f"{block}_conv1"), f"{block}_prelu")
        x = layers.Add(name=block, dtype=dtype)([x, normalised(y, f"{block}_conv2")])
    x = layers.Add(name="skip", dtype=dtype)([normalised(x, "trunk"), skip])
    for up in ("up1", "up2"):
        x = DepthToSpace(name=f"{up}_shuffle", dtype=dtype)(conv(x, 4 * channels, 3, up))
        x = prelu(x, f"{up}_prelu")
    return keras.Model(inputs, to_0_255(conv(x, 3, 9, "tail"), tanh, dtype), name=name)


def srcnn(filters: tuple[int, int] = (64, 32), name: str = "srcnn", dtype: str | None = None) -> keras.Model:
    """SRCNN 9-5-5 on RGB (Dong et al. 2014, section 3), which refines an image upscaled by bicubic interpolation.

    ``dtype`` as for ``generator``.
    """
    inputs = rgb_input("upscaled")
    x = layers.Rescaling(1 / 255, name="to_unit", dtype=dtype)(inputs)
    x = conv2d(filters[0], 9, "patches", dtype, activation="relu")(x)
    x = conv2d(filters[1], 5, "mapping", dtype, activation="relu")(x)
    x = conv2d(3, 5, "reconstruction", dtype)(x)
    return keras.Model(inputs, to_0_255(x, dtype=dtype), name=name)


def rgb_input(name: str) -> keras.KerasTensor:
    return keras.Input((None, None, 3), name=name, dtype="float32")


def conv2d(filters: int, size: int, name: str, dtype: str | None, activation: str | None = None) -> layers.Conv2D:
    return layers.Conv2D(
        filters, size, padding="same", activation=activation, data_format="channels_last", name=name, dtype=dtype
    )


def kernel_shapes(blocks: int, channels: int) -> list[tuple[int, ...]]:
    """The shapes of all kernels of a ``generator``, in order."""
    body = [(3, 3, channels, channels)] * (2 * blocks + 1)
    return [(9, 9, 3, channels), *body, *[(3, 3, channels, 4 * channels)] * 2, (9, 9, channels, 3)]


def model_with_kernels(shapes: list[tuple[int, ...]], batch_norm: bool) -> keras.Model:
    """The ``generator`` or ``srcnn`` in float32 whose kernels have these shapes. Raises ValueError if none has.

    A generator with batch normalisation has the tanh output of the paper and the course.
    """
    blocks, filters = (len(shapes) - 5) // 2, [shape[-1] for shape in shapes]
    if filters and shapes == kernel_shapes(blocks, filters[0]):
        return generator(blocks, filters[0], batch_norm, tanh=batch_norm, dtype="float32")
    if len(shapes) == 3 and shapes == [(9, 9, 3, filters[0]), (5, 5, filters[0], filters[1]), (5, 5, filters[1], 3)]:
        return srcnn(tuple(filters[:2]), dtype="float32")
    raise ValueError(f"no network has kernels of the shapes {shapes}")


class Convolution(NamedTuple):
    kernel: np.ndarray
    bias: np.ndarray


class Block(NamedTuple):
    """A residual block: convolution, PReLU, convolution."""

    conv1: Convolution
    slopes: np.ndarray
    conv2: Convolution


class Fused(NamedTuple):
    """The weights of a ``generator``, rearranged for fast inference: see ``fuse``."""

    head: Convolution
    head_slopes: np.ndarray
    blocks: list[Block]
    trunk: Convolution
    up1: Convolution
    up1_slopes: np.ndarray
    up2: Convolution
    up2_slopes: np.ndarray
    tail: Convolution
    tanh: bool  # whether the output is tanh's [-1, 1] or [0, 1]


def fuse(model: keras.Model) -> Fused:
    """The weights of a ``generator``, recognised by the types and shapes of its layers, not by their names.

    Exact but for rounding: batch normalisation is folded into the convolution before it, and the 9x9 tail, whose three
    output channels leave the vector units idle, becomes a 5x5 convolution to 12 channels before the last sub-pixel
    step. Both PReLUs after a sub-pixel step move before it as well, with their slopes repeated.

    Raises ValueError for other layers. The connections between the layers are not checked.
    """

    def of(type):
        return [layer for layer in model.layers if isinstance(layer, type)]

    convs, prelus, norms = of(layers.Conv2D), of(layers.PReLU), of(layers.BatchNormalization)
    count = len(prelus) - 3
    channels = convs[0].filters if convs else 0
    found = [tuple(layer.kernel.shape) for layer in convs]
    counts = [len(layer.get_weights()) for layer in (*convs, *norms)]
    slopes = [layer.get_weights()[0] for layer in prelus]
    if (
        count < 0
        or found != kernel_shapes(count, channels)
        or counts != [2] * len(convs) + [4] * len(norms)
        or len(norms) not in (0, 2 * count + 1)
        or any(values.shape != (1, 1, channels) for values in slopes)
    ):
        raise ValueError(f"{model.name} is not a generator of this project")

    # The head, the two upscaling convolutions and the tail have no batch normalisation.
    norms = [None, *(norms or [None] * (2 * count + 1)), None, None, None]
    head, *body, trunk, up1, up2, _ = itertools.starmap(fold_batch_norm, zip(convs, norms, strict=True))
    blocks = [Block(*parts) for parts in zip(body[::2], slopes[1:-2], body[1::2], strict=True)]
    up1_slopes, up2_slopes = (np.tile(values, 4) for values in slopes[-2:])
    tail = Convolution(*subpixel_convolution(*convs[-1].get_weights()))
    tanh = any(getattr(layer, "activation", None) is keras.activations.tanh for layer in model.layers)
    return Fused(head, slopes[0], blocks, trunk, up1, up1_slopes, up2, up2_slopes, tail, tanh)


def block_names(blocks: int) -> list[str]:
    return [f"block{i:02d}" for i in range(blocks)]


def to_0_255(x: keras.KerasTensor, tanh: bool = False, dtype: str | None = None) -> keras.KerasTensor:
    """Rescale the network's output from [0, 1], or from tanh's [-1, 1], to [0, 255]."""
    if tanh:
        x = layers.Activation("tanh", name="tanh", dtype=dtype)(x)
        return layers.Rescaling(127.5, 127.5, name="to_0_255", dtype=dtype)(x)
    return layers.Rescaling(255, name="to_0_255", dtype=dtype)(x)


def fold_batch_norm(convolution: layers.Conv2D, batch_norm: layers.BatchNormalization | None = None) -> Convolution:
    """The weights of a convolutional layer with the batch normalisation that follows folded into them."""
    kernel, bias = convolution.get_weights()
    if batch_norm is None:
        return Convolution(kernel, bias)
    gamma, beta, mean, variance = batch_norm.get_weights()
    scale = gamma / np.sqrt(variance + batch_norm.epsilon)
    return Convolution(kernel * scale, (bias - mean) * scale + beta)


def subpixel_convolution(kernel: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Convert a convolution after a sub-pixel step into one before it: (k, k, c, f) -> about (k/2, k/2, 4c, 4f).

    Output sub-pixel o reads, through tap k, high-resolution pixel o + k - radius. Divided by 2, that is the
    low-resolution pixel (quotient) and the sub-pixel in it (remainder), which give the tap's new place.
    """
    size, _, channels, filters = kernel.shape
    radius = size // 2
    half = (radius + 1) // 2
    moved = np.zeros((2 * half + 1, 2 * half + 1, 2, 2, channels, 2, 2, filters), kernel.dtype)
    for out_y, out_x, tap_y, tap_x in np.ndindex(2, 2, size, size):
        (y, sub_y), (x, sub_x) = divmod(out_y + tap_y - radius, 2), divmod(out_x + tap_x - radius, 2)
        moved[y + half, x + half, sub_y, sub_x, :, out_y, out_x] = kernel[tap_y, tap_x]
    return moved.reshape(*moved.shape[:2], 4 * channels, 4 * filters), np.tile(bias, 4)
