"""A generator's fast graph: down an image in strips of rows, small enough for the processor's cache."""

from itertools import pairwise

import tensorflow as tf

from superres.network import fuse

STRIP_AREA = 32768  # low-resolution pixels; a feature map of 64 channels is then 8 MB in float32


class Strips:
    """The map of a ``generator``, computed strip by strip with line buffers (Alwani et al. 2016, fused-layer CNN).

    Every convolution keeps the last rows of its input, and puts them before those of the next strip. So nothing is
    computed twice, memory does not grow with the image's height, and the result is the whole image's.

    model: a ``network.generator``; its weights are those it has now.  dtype: that of the arithmetic.
    """

    def __init__(self, model, dtype):
        convolutions, slopes, self.tanh = fuse(model)
        # Where all slopes are at most 1, as nearly everywhere, a PReLU is the greater of two lines.
        self.convex = {name: values.max() <= 1 for name, values in slopes.items()}
        self.slopes = {name: tf.cast(values, dtype) for name, values in slopes.items()}
        self.convolutions = {name: [tf.cast(a, dtype) for a in arrays] for name, arrays in convolutions.items()}
        self.blocks = [name.removesuffix("_conv1") for name in convolutions if name.endswith("_conv1")]
        # The tail's taps, all rows of its kernel side by side: five times as many filters fill the vector units.
        kernel, self.tail_bias = self.convolutions.pop("tail")
        self.tail_taps = tf.concat(tf.split(kernel, kernel.shape[0]), axis=-1)
        self.dtype = dtype
        # Low-resolution pixels to each side that a result depends on: the 9x9 head, two 3x3 convolutions in each block,
        # the 3x3 trunk; then a 3x3 and, at twice the resolution, a 3x3 and a 5x5, together 2.5.
        self.radius = 4 + 2 * len(self.blocks) + 1 + 3
        self.graph = tf.function(self.next_strip, autograph=False).get_concrete_function(
            tf.TensorSpec((1, None, None, 3), tf.uint8),
            tf.TensorSpec((), tf.bool),
            dict.fromkeys(self.empty_buffers(1), tf.TensorSpec((1, None, None, None), dtype)),
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
        """What the layers keep above the image: the zeros that they are padded with, and no rows that wait."""
        buffers = dict.fromkeys([*self.blocks, "skip"], (0, width, self.convolutions["trunk"][0].shape[-1]))
        for name, (kernel, _) in self.convolutions.items():
            buffers[name] = kernel.shape[0] // 2, width * (2 if name == "up2" else 1), kernel.shape[2]
        _, size, _, taps = self.tail_taps.shape
        buffers["tail"] = size // 2, 2 * width, taps
        return {name: tf.zeros((1, *shape), self.dtype) for name, shape in buffers.items()}

    def next_strip(self, x, last, buffers):
        """The rows that follow from another strip of the image, and the buffers for the next one."""
        kept = {}
        last = tf.cast(last, tf.int32)

        def extend(x, name, radius):
            """Put the kept rows before x and, below the image's last strip, the zeros of the padding."""
            below = tf.zeros((1, last * radius, tf.shape(x)[2], x.shape[3]), x.dtype)
            x = tf.concat([buffers[name], x, below], axis=1)
            kept[name] = x[:, -2 * radius :]
            return x

        def conv(x, name):
            kernel, bias = self.convolutions[name]
            radius = kernel.shape[0] // 2
            padding = [(0, 0), (0, 0), (radius, radius), (0, 0)]
            return tf.nn.bias_add(tf.nn.conv2d(extend(x, name, radius), kernel, 1, padding), bias)

        def tail(x):
            size = self.tail_taps.shape[1]
            taps = extend(tf.nn.conv2d(x, self.tail_taps, 1, "SAME"), "tail", size // 2)
            rows = tf.shape(taps)[1] - (size - 1)
            return tf.add_n([tap[:, i : i + rows] for i, tap in enumerate(tf.split(taps, size, -1))]) + self.tail_bias

        def prelu(x, name):
            slopes = self.slopes[name]
            return tf.maximum(x, slopes * x) if self.convex[name] else tf.where(x > 0, x, slopes * x)

        def add(skip, x, name):
            skip = tf.concat([buffers[name], skip], axis=1)
            rows = tf.shape(x)[1]
            kept[name] = skip[:, rows:]
            return skip[:, :rows] + x

        x = tf.cast(x, self.dtype) / 255
        x = skip = prelu(conv(x, "head"), "head_prelu")
        for block in self.blocks:
            y = prelu(conv(x, f"{block}_conv1"), f"{block}_prelu")
            x = add(x, conv(y, f"{block}_conv2"), block)
        x = add(skip, conv(x, "trunk"), "skip")
        x = tf.nn.depth_to_space(prelu(conv(x, "up1"), "up1_prelu"), 2)
        x = prelu(conv(x, "up2"), "up2_prelu")
        x = tf.cast(tf.nn.depth_to_space(tail(x), 2), tf.float32)
        x = 127.5 * tf.tanh(x) + 127.5 if self.tanh else 255 * x
        return to_uint8(x), kept


def to_uint8(x):
    return tf.cast(tf.round(tf.clip_by_value(x, 0, 255)), tf.uint8)
