"""A generator's fast graph: down an image in strips of rows, small enough for the processor's cache."""

import functools
from itertools import pairwise

from superres.backend import tf
from superres.network import Fused, fuse

STRIP_AREA = 32768  # low-resolution pixels; a feature map of 64 channels is then 8 MB in float32


class Strips:
    """The map of a ``generator``, computed strip by strip with line buffers (Alwani et al. 2016, fused-layer CNN).

    Every convolution keeps the last rows of its input, and puts them before those of the next strip. So nothing is
    computed twice, memory does not grow with the image's height, and the result is the whole image's.

    model: a ``network.generator``; its weights are those it has now.  dtype: that of the arithmetic.

    Raises ValueError for any other model.
    """

    def __init__(self, model, dtype):
        *weights, self.tanh = fuse(model)
        weights = tf.nest.map_structure(lambda array: tf.cast(array, dtype), weights)
        self.weights = Fused(*weights, self.tanh)
        # The tail's taps, all rows of its kernel side by side: five times as many filters fill the vector units.
        kernel, self.tail_bias = self.weights.tail
        self.tail_taps = tf.concat(tf.split(kernel, kernel.shape[0]), axis=-1)
        self.dtype = dtype
        # Low-resolution pixels to each side that a result depends on: the 9x9 head, two 3x3 convolutions in each block,
        # the 3x3 trunk; then a 3x3 and, at twice the resolution, a 3x3 and a 5x5, together 2.5.
        self.radius = 4 + 2 * len(self.weights.blocks) + 1 + 3
        self.graph = tf.function(self.next_strip, autograph=False).get_concrete_function(
            tf.TensorSpec((1, None, None, 3), tf.uint8),
            tf.TensorSpec((), tf.bool),
            [tf.TensorSpec((1, None, None, None), dtype)] * len(self.empty_buffers(1)),
        )

    def __call__(self, image, area=STRIP_AREA):
        """Yield an image, uint8 (h, w, 3), x4 from top to bottom, in strips of about ``area`` input pixels."""
        height, width = image.shape[:2]
        rows = max(area // width, 1)
        buffers = self.empty_buffers(width)
        # The first rows leave the last layer when all that they depend on is there.
        for start, stop in pairwise([0, *range(rows + self.radius, height, rows), height]):
            last = tf.constant(stop == height)
            strip, buffers = self.graph(tf.constant(image[None, start:stop]), last, buffers)
            yield strip[0].numpy()

    def empty_buffers(self, width):
        """What the layers, in their order, keep above the image: the zeros of the padding, and no rows that wait."""

        def padding(convolution, width):
            size, _, channels, _ = convolution.kernel.shape
            return size // 2, width, channels

        w = self.weights
        waiting = 0, width, w.trunk.kernel.shape[-1]
        shapes = [padding(w.head, width)]
        for block in w.blocks:
            shapes += [padding(block.conv1, width), padding(block.conv2, width), waiting]
        shapes += [padding(w.trunk, width), waiting, padding(w.up1, width), padding(w.up2, 2 * width)]
        _, size, _, taps = self.tail_taps.shape
        shapes += [(size // 2, 2 * width, taps)]
        return [tf.zeros((1, *shape), self.dtype) for shape in shapes]

    def next_strip(self, x, last, buffers):
        """The rows that follow from another strip of the image, and the buffers for the next one."""
        buffers, kept = iter(buffers), []
        last, width = tf.cast(last, tf.int32), tf.shape(x)[2]

        @functools.cache  # most layers are of one shape, and tracing takes its time
        def below(radius, sub_pixels, channels):
            return tf.zeros((1, last * radius, width * sub_pixels, channels), self.dtype)

        def extend(x, radius, sub_pixels=1):
            """Put the kept rows before x and, below the image's last strip, the zeros of the padding."""
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
            # Where all slopes are at most 1, as nearly everywhere, PReLU(x) = max(x, slope * x).
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
    return tf.cast(tf.round(tf.clip_by_value(x, 0, 255)), tf.uint8)
