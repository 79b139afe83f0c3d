"""A generator's fast graph, which processes an image in strips of rows that fit into the processor's cache."""

import functools
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from superres.network.backend import keras, tf
from superres.network.models import Fused, fuse

STRIP_AREA = 32768  # low-resolution pixels; a feature map of 64 channels is then 8 MB in float32


class Strips:
    """A ``generator`` evaluated strip by strip with line buffers (Alwani et al. 2016, fused-layer CNN accelerators).

    Every convolution keeps the last rows of its input and prepends them to those of the next strip. So nothing is
    computed twice, memory does not grow with the image's height, and the result is that of the whole image. The kept
    rows, the line buffers, come in the order in which ``next_strip`` calls ``extend`` and ``add``.

    model: a ``network.generator``; its weights are copied.  dtype: of the arithmetic, "float32" or "bfloat16".

    Raises ValueError for any other model.
    """

    def __init__(self, model: keras.Model, dtype: str):
        *weights, self.tanh = fuse(model)
        weights = tf.nest.map_structure(lambda array: tf.cast(array, dtype), weights)
        self.weights = Fused(*weights, self.tanh)
        # The rows of the tail's kernel as separate filters: 60 instead of 12 filters use the vector units fully.
        kernel, self.tail_bias = self.weights.tail
        self.tail_taps = tf.concat(tf.split(kernel, kernel.shape[0]), axis=-1)
        self.dtype = dtype
        # Receptive-field radius in low-resolution pixels: the 9x9 head, two 3x3 convolutions per block, the 3x3 trunk;
        # then a 3x3 and, at twice the resolution, a 3x3 and a 5x5, together 2.5, rounded up.
        self.radius = 4 + 2 * len(self.weights.blocks) + 1 + 3
        self.graph = tf.function(self.next_strip, autograph=False).get_concrete_function(
            tf.TensorSpec((1, None, None, 3), tf.uint8),
            tf.TensorSpec((), tf.bool),
            [tf.TensorSpec((1, None, None, None), dtype)] * len(self.empty_buffers(1)),
        )

    def __call__(self, image: np.ndarray, area: int = STRIP_AREA) -> Iterator[np.ndarray]:
        """Upscale uint8 RGB (h, w, 3); yield strips of uint8 (rows, 4w, 3), from about ``area`` input pixels each."""
        height, width = image.shape[:2]
        rows = max(area // width, 1)
        buffers = self.empty_buffers(width)
        # The first strip is higher by the radius: the last layer gives no rows before it has seen so many.
        for start, stop in pairwise([0, *range(rows + self.radius, height, rows), height]):
            last = tf.constant(stop == height)
            strip, buffers = self.graph(tf.constant(image[None, start:stop]), last, buffers)
            yield strip[0].numpy()

    def empty_buffers(self, width):
        """The line buffers above the image, in the order of the layers: zero padding, and empty ones for skips."""

        def padding(convolution, width):
            size, _, channels, _ = convolution.kernel.shape
            return size // 2, width, channels

        w = self.weights
        skipped = 0, width, w.trunk.kernel.shape[-1]
        shapes = [padding(w.head, width)]
        for block in w.blocks:
            shapes += [padding(block.conv1, width), padding(block.conv2, width), skipped]
        shapes += [padding(w.trunk, width), skipped, padding(w.up1, width), padding(w.up2, 2 * width)]
        _, size, _, taps = self.tail_taps.shape
        shapes += [(size // 2, 2 * width, taps)]
        return [tf.zeros((1, *shape), self.dtype) for shape in shapes]

    def next_strip(self, x, last, buffers):
        """The rows of the result that one more strip of the image completes, and the buffers for the next strip."""
        buffers, kept = iter(buffers), []
        last, width = tf.cast(last, tf.int32), tf.shape(x)[2]

        @functools.cache  # most layers are of one shape, and tracing takes its time
        def below(radius, sub_pixels, channels):
            return tf.zeros((1, last * radius, width * sub_pixels, channels), self.dtype)

        def extend(x, radius, sub_pixels=1):
            """Prepend the buffered rows to x and append zero padding below the image's last strip."""
            x = tf.concat([next(buffers), x, below(radius, sub_pixels, x.shape[3])], axis=1)
            kept.append(x[:, -2 * radius :])
            return x

        def conv(x, convolution, sub_pixels=1):
            kernel, bias = convolution
            radius = kernel.shape[0] // 2
            padding = [(0, 0), (0, 0), (radius, radius), (0, 0)]
            return tf.nn.bias_add(tf.nn.conv2d(extend(x, radius, sub_pixels), kernel, 1, padding), bias)

        def tail(x):
            size = self.tail_taps.shape[1]
            taps = extend(tf.nn.conv2d(x, self.tail_taps, 1, "SAME"), size // 2, 2)
            rows = tf.shape(taps)[1] - (size - 1)
            return tf.add_n([tap[:, i : i + rows] for i, tap in enumerate(tf.split(taps, size, -1))]) + self.tail_bias

        def prelu(x, slopes):
            # PReLU(x) = max(x, slope * x) if all slopes are at most 1, which is faster.
            convex = slopes.numpy().max() <= 1
            return tf.maximum(x, slopes * x) if convex else tf.where(x > 0, x, slopes * x)

        def add(skip, x):
            skip = tf.concat([next(buffers), skip], axis=1)
            rows = tf.shape(x)[1]
            kept.append(skip[:, rows:])
            return skip[:, :rows] + x

        w = self.weights
        x = tf.cast(x, self.dtype) / 255
        x = skip = prelu(conv(x, w.head), w.head_slopes)
        for block in w.blocks:
            y = prelu(conv(x, block.conv1), block.slopes)
            x = add(x, conv(y, block.conv2))
        x = add(skip, conv(x, w.trunk))
        x = tf.nn.depth_to_space(prelu(conv(x, w.up1), w.up1_slopes), 2)
        x = prelu(conv(x, w.up2, 2), w.up2_slopes)
        x = tf.cast(tf.nn.depth_to_space(tail(x), 2), tf.float32)
        x = 127.5 * tf.tanh(x) + 127.5 if self.tanh else 255 * x
        return to_uint8(x), kept


def to_uint8(x):
    """A tensor of grey levels, clipped to [0, 255] and rounded."""
    return tf.cast(tf.round(tf.clip_by_value(x, 0, 255)), tf.uint8)
