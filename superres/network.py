"""The networks, and how the training graph becomes the fast one.

Every model takes and gives RGB in [0, 255], float32, (batch, height, width, 3), so the course's own
``model.predict(image[None])`` works on each of them.
"""

import keras
import numpy as np
from keras import layers

SCALE = 4


@keras.saving.register_keras_serializable("superres")
class DepthToSpace(layers.Layer):
    """Sub-pixel shuffle (Shi et al. 2016, eq. 4) in TensorFlow's channel order: (b, h, w, 4c) -> (b, 2h, 2w, c)."""

    def call(self, x):
        batch, height, width, channels = keras.ops.shape(x)
        x = keras.ops.reshape(x, (batch, height, width, 2, 2, channels // 4))
        x = keras.ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return keras.ops.reshape(x, (batch, 2 * height, 2 * width, channels // 4))

    def compute_output_shape(self, shape):
        batch, height, width, channels = shape
        return batch, height and 2 * height, width and 2 * width, channels // 4


def generator(blocks=16, channels=64, batch_norm=False, tanh=False, name="generator"):
    """SRGAN's generator (Ledig et al. 2017, fig. 4); trained without the adversarial loss, it is SRResNet.

    The defaults are this project's topology: no batch normalisation (as EDSR and ESRGAN) and a linear output.
    ``batch_norm=True, tanh=True`` is the paper's and the course's.
    """

    def conv(x, filters, size, name):
        return layers.Conv2D(filters, size, padding="same", name=name)(x)

    def normalised(x, name):
        x = conv(x, channels, 3, name)
        return layers.BatchNormalization(name=f"{name}_bn")(x) if batch_norm else x

    def prelu(x, name):
        return layers.PReLU(shared_axes=[1, 2], name=name)(x)

    inputs = keras.Input((None, None, 3), name="lr")
    x = layers.Rescaling(1 / 255, name="to_unit")(inputs)
    x = skip = prelu(conv(x, channels, 9, "head"), "head_prelu")
    for block in block_names(blocks):
        y = prelu(normalised(x, f"{block}_conv1"), f"{block}_prelu")
        x = layers.Add(name=block)([x, normalised(y, f"{block}_conv2")])
    x = layers.Add(name="skip")([normalised(x, "trunk"), skip])
    for up in ("up1", "up2"):
        x = DepthToSpace(name=f"{up}_shuffle")(conv(x, 4 * channels, 3, up))
        x = prelu(x, f"{up}_prelu")
    return keras.Model(inputs, to_0_255(conv(x, 3, 9, "tail"), tanh), name=name)


def srcnn(filters=(64, 32), name="srcnn"):
    """SRCNN 9-5-5 on RGB (Dong et al. 2014, section 3): refines an image that bicubic interpolation has upscaled."""
    inputs = keras.Input((None, None, 3), name="upscaled")
    x = layers.Rescaling(1 / 255, name="to_unit")(inputs)
    x = layers.Conv2D(filters[0], 9, padding="same", activation="relu", name="patches")(x)
    x = layers.Conv2D(filters[1], 5, padding="same", activation="relu", name="mapping")(x)
    x = layers.Conv2D(3, 5, padding="same", name="reconstruction")(x)
    return keras.Model(inputs, to_0_255(x), name=name)


def fuse(model):
    """The weights of a ``generator``, rearranged to run fast: (convolutions, slopes, tanh).

    ``convolutions`` are (kernel, bias) by layer name, ``slopes`` the PReLUs'; ``tanh`` says whether the output ends in
    one. Exact but for rounding: batch normalisation is folded into the convolution before it, and the 9x9 tail, whose
    three output channels leave the vector units idle, becomes a 5x5 convolution to 12 channels before the last
    sub-pixel step. Both PReLUs after a sub-pixel step move before it as well, with their slopes repeated.
    """
    weights = {layer.name: layer.get_weights() for layer in model.layers}
    convolutions = {
        name: fold_batch_norm(*arrays, weights.get(f"{name}_bn"))
        for name, arrays in weights.items()
        if len(arrays) == 2
    }
    convolutions["tail"] = subpixel_convolution(*weights["tail"])
    slopes = {name: arrays[0] for name, arrays in weights.items() if name.endswith("_prelu")}
    slopes |= {name: np.tile(slopes[name], 4) for name in ("up1_prelu", "up2_prelu")}
    return convolutions, slopes, "tanh" in weights


def block_names(blocks):
    return [f"block{i:02d}" for i in range(blocks)]


def to_0_255(x, tanh=False):
    """The network's output range, [0, 1] or tanh's [-1, 1], as [0, 255]."""
    if tanh:
        return layers.Rescaling(127.5, 127.5, name="to_0_255")(layers.Activation("tanh", name="tanh")(x))
    return layers.Rescaling(255, name="to_0_255")(x)


def fold_batch_norm(kernel, bias, batch_norm=None, epsilon=1e-3):
    """Kernel and bias of a convolution with the batch normalisation that follows it, in Keras' order, folded in."""
    if batch_norm is None:
        return kernel, bias
    gamma, beta, mean, variance = batch_norm
    scale = gamma / np.sqrt(variance + epsilon)
    return kernel * scale, (bias - mean) * scale + beta


def subpixel_convolution(kernel, bias):
    """A convolution after a sub-pixel step as one before it: (k, k, c, f) -> about (k/2, k/2, 4c, 4f).

    Output sub-pixel o reads, through tap k, the high-resolution pixel o + k - radius. Its half is the
    low-resolution pixel, and its parity the sub-pixel, to which that tap moves.
    """
    size, _, channels, filters = kernel.shape
    radius = size // 2
    half = (radius + 1) // 2
    moved = np.zeros((2 * half + 1, 2 * half + 1, 2, 2, channels, 2, 2, filters), kernel.dtype)
    for out_y, out_x, tap_y, tap_x in np.ndindex(2, 2, size, size):
        (y, sub_y), (x, sub_x) = divmod(out_y + tap_y - radius, 2), divmod(out_x + tap_x - radius, 2)
        moved[y + half, x + half, sub_y, sub_x, :, out_y, out_x] = kernel[tap_y, tap_x]
    return moved.reshape(*moved.shape[:2], 4 * channels, 4 * filters), np.tile(bias, 4)
