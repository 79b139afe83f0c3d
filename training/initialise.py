"""Initial weights, those of a bilinear upscaler or given ones, and a graph that trains faster."""

import keras
import numpy as np
from keras import layers, ops

from superres.network.models import DepthToSpace, subpixel_convolution
from superres.network.weights import load_generator

SMALL = 0.01  # scales He et al.'s initial weights where they would disturb the interpolated image


def start_as_upscaler(model: keras.Model) -> None:
    """Initialise a generator as nearly bilinear interpolation, or an SRCNN as nearly the identity (in place).

    The first three channels carry RGB from layer to layer; each sub-pixel step copies them to its four sub-pixels and
    the tail smooths the copies, which together is exactly bilinear interpolation. Other weights into these channels
    start small, all other kernels as in He et al. 2015.
    """
    hat = np.array([1, 2, 2, 2, 1]) / 8
    for layer in model.layers:
        if not isinstance(layer, layers.Conv2D):
            continue
        kernel = ops.convert_to_numpy(keras.initializers.HeNormal()(layer.kernel.shape)).copy()
        if layer.name in ("up1", "up2"):
            carry_rgb(kernel, copies=4)
        elif layer.name == "tail":
            carry_rgb(kernel, stencil=np.outer(hat, hat))
        elif layer.name == "trunk":
            kernel *= SMALL
        elif layer.name.endswith("_conv2"):
            kernel *= 0.1
        elif not layer.name.endswith("_conv1"):
            carry_rgb(kernel)
        layer.kernel.assign(kernel)


def carry_rgb(kernel, stencil=((1,),), copies=1):
    """Make the first three filters of each of ``copies`` equal groups pass on the first three channels (in place)."""
    radius = len(stencil) // 2
    middle = kernel.shape[0] // 2
    window = slice(middle - radius, middle + radius + 1)
    for first in range(0, kernel.shape[-1], kernel.shape[-1] // copies):
        for channel in range(3):
            kernel[..., first + channel] *= SMALL
            kernel[window, window, channel, first + channel] += stencil


def start_from(source: str, network: keras.Model) -> None:
    """Copy the weights that ``load_generator`` finds; raises its errors, and ValueError for another network."""
    weights = load_generator(source).get_weights()
    if [array.shape for array in weights] != [tuple(variable.shape) for variable in network.weights]:
        raise ValueError(f"{source} holds another network than {network.name}")
    network.set_weights(weights)


class FastTail(layers.Layer):
    """A generator's last PReLU and tail, computed before the last sub-pixel step, which is faster on a CPU.

    The tail becomes a 5x5 convolution (see ``subpixel_convolution``). The layer uses the weights of the two and has
    none of its own.
    """

    def __init__(self, prelu, tail):
        super().__init__(dtype=tail.dtype_policy)
        self.prelu, self.tail = prelu, tail
        # For each weight of the 5x5 kernel, the index of the tail's weight that it equals, from 1; 0 where it is 0.
        shape = tail.kernel.shape
        self.source, _ = subpixel_convolution(np.arange(1, 1 + np.prod(shape)).reshape(shape), np.zeros(shape[-1]))

    def call(self, x):
        x = ops.relu(x) - ops.tile(self.prelu.alpha, (1, 1, 4)) * ops.relu(-x)
        weights = ops.reshape(self.tail.kernel, (-1,))
        kernel = ops.take(ops.concatenate([ops.zeros(1, weights.dtype), weights]), self.source)
        return ops.conv(x, kernel, padding="same") + ops.tile(self.tail.bias, 4)


def with_fast_tail(model: keras.Model) -> keras.Model:
    """The same generator, weights shared, with a ``FastTail``; another network as it is."""
    if not any(layer.name == "tail" for layer in model.layers):
        return model
    tail = model.get_layer("tail")
    x = FastTail(model.get_layer("up2_prelu"), tail)(model.get_layer("up2").output)
    x = DepthToSpace(dtype=tail.dtype_policy)(x)
    return keras.Model(model.input, model.get_layer("to_0_255")(x), name=model.name)
