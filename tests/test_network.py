"""The fast graph compared with the plain one, and its parts with TensorFlow's operations."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import difference, plain, randomise
from keras import layers

from superres.network.inference import Upscaler
from superres.network.models import DepthToSpace, fold_batch_norm, generator, srcnn, subpixel_convolution
from superres.network.weights import load_generator


def test_generator_is_the_papers():
    model = generator(batch_norm=True, tanh=True)
    classes = [type(layer).__name__ for layer in model.layers]
    assert tuple(map(classes.count, ("Conv2D", "PReLU", "BatchNormalization"))) == (37, 19, 33)
    assert generator().count_params() == 1_546_435
    assert srcnn().count_params() == 9 * 9 * 3 * 64 + 64 + 5 * 5 * 64 * 32 + 32 + 5 * 5 * 32 * 3 + 3


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("tanh", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (13, 17), (32, 20)])
def test_fused_graph_equals_the_plain_one(rng, batch_norm, tanh, size):
    model = randomise(generator(blocks=2, channels=8, batch_norm=batch_norm, tanh=tanh))
    image = rng.integers(0, 256, (*size, 3), np.uint8)
    expected = plain(model, image)
    most, mean = difference(Upscaler(model)(image), expected)
    assert most <= 1 and mean < 0.01
    assert size == (1, 1) or expected.std() > 10, "too flat to show a difference"


def test_prelu_with_slopes_above_1(rng):
    """PReLU(x) = max(x, slope * x) only up to a slope of 1."""
    model = randomise(generator(blocks=1, channels=4))
    for layer in model.layers:
        if isinstance(layer, layers.PReLU):
            layer.set_weights([layer.get_weights()[0] + 1])
    image = rng.integers(0, 256, (9, 12, 3), np.uint8)
    expected = plain(model, image)
    assert difference(Upscaler(model)(image), expected)[0] <= 1
    assert expected.std() > 10, "too flat to show a difference"


@pytest.mark.parametrize("name", ["srgan", "photo", "srresnet"])
def test_fused_graph_equals_the_plain_one_with_the_bundled_weights(name, photo):
    model = load_generator(name)
    most, mean = difference(Upscaler(model)(photo), plain(model, photo))
    assert most <= 1 and mean < 0.01


@pytest.mark.parametrize("size", [1, 3, 5, 9])
def test_subpixel_convolution_equals_convolution_after_the_shuffle(rng, size):
    kernel, bias = rng.normal(size=(size, size, 6, 3)).astype("float32"), rng.normal(size=3).astype("float32")
    x = rng.normal(size=(2, 7, 5, 24)).astype("float32")
    expected = tf.nn.conv2d(tf.nn.depth_to_space(x, 2), kernel, 1, "SAME") + bias
    moved, moved_bias = subpixel_convolution(kernel, bias)
    actual = tf.nn.depth_to_space(tf.nn.conv2d(x, moved, 1, "SAME") + moved_bias, 2)
    np.testing.assert_allclose(actual, expected, atol=1e-4)


def test_folded_batch_norm_equals_convolution_then_normalisation(rng):
    convolution, batch_norm = layers.Conv2D(5, 3, padding="same"), layers.BatchNormalization(epsilon=0.1)
    model = randomise(keras.Sequential([keras.Input((6, 6, 4)), convolution, batch_norm]))
    x = rng.normal(size=(1, 6, 6, 4)).astype("float32")
    kernel, bias = fold_batch_norm(convolution, batch_norm)
    np.testing.assert_allclose(tf.nn.conv2d(x, kernel, 1, "SAME") + bias, model(x, training=False), atol=1e-5)


def test_depth_to_space_is_tensorflows(rng):
    x = rng.normal(size=(2, 3, 5, 12)).astype("float32")
    np.testing.assert_array_equal(DepthToSpace()(x), tf.nn.depth_to_space(x, 2))
