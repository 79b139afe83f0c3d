"""The perceptual loss of SRGAN (Ledig et al. 2017, section 2.2) with the relativistic discriminator of ESRGAN.

Images are RGB in [0, 255], (batch, height, width, 3); every loss is a scalar, and pixel losses are those of
images in [0, 1].
"""

import keras
import numpy as np
from keras import layers, ops

from superres import SCALE

# VGG19's layers whose features are compared; `block3_conv1` and `convNM` belong to truncated and distilled networks.
CONTENT_LAYERS = {
    "block1_conv2", "block2_conv2", "block3_conv1", "block4_conv4", "block5_conv4", "conv41", "conv44", "conv51",
}  # fmt: skip


def l1_loss(hr, sr):
    """Mean absolute error."""
    return ops.mean(ops.abs(hr - sr)) / 255


def l2_loss(hr, sr):
    """Mean squared error, l_MSE (eq. 4)."""
    return ops.mean(ops.square((hr - sr) / 255))


def content_loss(hr_features, sr_features):
    """VGG loss l_VGG/i.j (eq. 5), here over several layers and on unit-normalised features (LPIPS, Zhang et al. 2018).

    Both are dicts from layer name to features (batch, h, w, c) before their ReLU. Each channel is divided by its mean
    in the originals, and at each position the features are compared by their direction alone, so that no channel's
    and no layer's scale needs a weight.
    """

    def unit(features):
        energy = ops.sum(ops.square(features), axis=-1, keepdims=True)
        return features / ops.sqrt(energy + 0.01 * ops.mean(energy) + keras.config.epsilon())

    def distance(hr, sr):
        hr, sr = (ops.relu(ops.cast(features, "float32")) for features in (hr, sr))
        mean = ops.mean(hr, axis=(0, 1, 2))
        mean += 0.1 * ops.mean(mean) + keras.config.epsilon()  # do not amplify channels that are nearly always 0
        return ops.mean(ops.sum(ops.square(unit(hr / mean) - unit(sr / mean)), axis=-1))

    return sum(distance(hr, sr_features[name]) for name, hr in hr_features.items())


def checkerboard_loss(hr, sr):
    """Checkerboard artefacts: how the fine detail on the 4x4 sub-pixels of an LR pixel differs from the original's.

    For each sub-pixel two statistics are compared, relative to the image's mean absolute detail: the mean detail, zero
    in a photograph but not in a pattern with the low-resolution pixels' period, and the mean absolute detail. The loss
    is their mean squared difference. The first row and column must be the first of a low-resolution pixel.
    """

    def profile(rgb):
        blurred = rgb
        for _ in range(2):
            blurred = ops.average_pool(blurred, 3, strides=1, padding="same")
        detail = (rgb - blurred)[:, SCALE:-SCALE, SCALE:-SCALE]
        _, height, width, _ = ops.shape(detail)
        detail = ops.reshape(detail, (-1, height // SCALE, SCALE, width // SCALE, SCALE, 3))
        size = ops.mean(ops.abs(detail), axis=(1, 3))
        profiles = ops.stack([ops.mean(detail, axis=(1, 3)), size])
        return profiles / (ops.mean(size, axis=(1, 2), keepdims=True) + 0.5)

    return ops.mean(ops.square(profile(hr) - profile(sr)))


# Terms of the loss that compare an image with the original pixel by pixel.
PIXEL_LOSSES = {"l2": l2_loss, "pixel": l1_loss, "checkerboard": checkerboard_loss}


def relativistic_loss(better, worse):
    """Relativistic average GAN on logits, the cross-entropy of: each of ``better`` exceeds the mean of ``worse``, each
    of ``worse`` is below the mean of ``better``. 2 ln 2 where all logits are equal.

    To the discriminator the originals are to be better (ESRGAN, eq. 1), to the generator its own images (eq. 2).
    """
    return ops.mean(ops.softplus(ops.mean(worse) - better)) + ops.mean(ops.softplus(worse - ops.mean(better)))


def feature_network(files: list[str] | None = None) -> keras.Model:
    """A frozen network from RGB to a dict of VGG19 features, those layers of ``CONTENT_LAYERS`` that it has.

    Without ``files``, VGG19 with the ImageNet weights of ``keras.applications``; otherwise .npz files with
    ``LAYER/kernel`` (HWIO) and ``LAYER/bias`` arrays: the first layer a 1x1 ``preprocess`` (VGG19 cut after any
    layer) or ``conv0`` (a distilled VGG19 with layers ``conv11``...), which takes RGB in [0, 1].

    Raises FileNotFoundError (missing file), ValueError (other or damaged file), ConnectionError (Keras cannot download
    its weights).
    """
    inputs = keras.Input((None, None, 3))
    features = {}
    for weights in [read_features(file) for file in files] if files else [imagenet_vgg19()]:
        features |= connect_features(inputs, weights)
    network = keras.Model(inputs, features, name="vgg19_features")
    network.trainable = False
    return network


def imagenet_vgg19() -> dict:
    """Kernels and biases of ``keras.applications.VGG19`` by layer name, after a ``preprocess`` from RGB in [0, 1]."""
    try:
        vgg = keras.applications.VGG19(include_top=False, weights="imagenet")
    except Exception as error:  # Keras raises nothing narrower when a download fails
        raise ConnectionError(
            f"cannot get VGG19's ImageNet weights, give a file with --vgg instead: {error}"
        ) from error
    rgb_to_bgr = 255 * np.eye(3, dtype="float32")[None, None, ::-1]
    preprocess = {"preprocess": (rgb_to_bgr, -np.array([103.939, 116.779, 123.68], "float32"))}
    return preprocess | {layer.name: layer.get_weights() for layer in vgg.layers if layer.weights}


def read_features(file: str) -> dict:
    """Kernels and biases of a feature network's .npz file by layer name. See ``feature_network``."""
    try:
        with np.load(file) as arrays:
            names = dict.fromkeys(key.partition("/")[0] for key in arrays.files)
            weights = {name: (arrays[f"{name}/kernel"], arrays[f"{name}/bias"]) for name in names}
    except FileNotFoundError:
        raise FileNotFoundError(f"no such file of VGG features: {file}") from None
    except Exception as error:  # NumPy and zipfile raise errors of many classes for a damaged file
        raise ValueError(f"{file} is no .npz file of layers with kernel and bias") from error
    if not ({"preprocess", "conv0"} & set(weights) and CONTENT_LAYERS & set(weights)):
        raise ValueError(f"{file} holds no VGG19 features; expected preprocess, block1_conv1... or conv0, conv11...")
    return weights


def connect_features(rgb, weights):
    """VGG19's 3x3 convolutions, ReLUs and 2x2 max-pools between blocks, as a dict of the features to compare."""
    features = {}
    x = layers.Rescaling(1 / 255)(rgb)
    block = "1"
    for name, (kernel, bias) in weights.items():
        if name.endswith("_aux"):
            continue
        conv = constant_convolution(kernel, bias)
        if name in ("preprocess", "conv0"):
            x = conv(x)
            continue
        if (next_block := name.removeprefix("block").removeprefix("conv")[0]) != block:
            block, x = next_block, layers.MaxPooling2D(2)(x)
        x = conv(x)
        if name in CONTENT_LAYERS:
            features[name] = x
        x = layers.ReLU()(x)
    return features


def constant_convolution(kernel, bias):
    return layers.Conv2D(
        kernel.shape[-1],
        kernel.shape[0],
        padding="same",
        kernel_initializer=keras.initializers.Constant(kernel),
        bias_initializer=keras.initializers.Constant(bias),
    )
