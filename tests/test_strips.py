"""The fast graph's strips of rows and spans of columns: their sizes, and how far they overlap."""

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import difference, plain, randomise
from hypothesis import given, settings
from hypothesis import strategies as st

from superres import SCALE
from superres.network.inference import TiledUpscaler, Upscaler
from superres.network.models import generator
from superres.network.strips import Strips, to_uint8

BLOCKS = 16
SMALL = randomise(generator(blocks=BLOCKS, channels=4))
UPSCALER = Upscaler(SMALL)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 130), st.integers(1, 60), st.integers(7, 70), st.integers(1, 4000), st.integers(0, 9))
def test_strips_and_columns_equal_the_whole_image(height, width, columns, area, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    most, mean = difference(UPSCALER(image, columns=columns, area=area), plain(SMALL, image))
    assert most <= 1 and mean < 0.01


def test_strips_are_of_the_area_asked_for(rng):
    """Nothing of the image is held back or computed twice, but for the rows that the first strip waits for."""
    image = rng.integers(0, 256, (200, 30, 3), np.uint8)
    rows = [len(strip) for strip in UPSCALER.strips(image, area=300)]
    assert sum(rows) == 800 and set(rows[1:-1]) == {SCALE * 10} and len(rows) == 16


@pytest.mark.parametrize("blocks", [1, BLOCKS])
def test_the_radius_is_the_receptive_fields(blocks):
    """With positive weights nothing cancels: what one pixel changes is all that depends on it."""
    model = generator(blocks=blocks, channels=2)
    model.set_weights([np.full(w.shape, float(w.ndim > 1)) / np.prod(w.shape[:3]) for w in model.get_weights()])
    radius = Strips(model, "float32").radius
    dot = np.zeros((1, 1, 2 * radius + 5, 3), "float32")
    dot[0, 0, radius + 2] = 1e30
    columns = np.flatnonzero(np.any(model(dot)[0], (0, 2))) // SCALE
    assert (radius + 2 - columns.min(), columns.max() - radius - 2) == (radius, radius)


def test_what_is_computed_at_once_is_bounded():
    """By default, of a large image: that bounds the memory."""
    image, seen = np.zeros((300, 2500, 3), np.uint8), []
    strips = Strips(generator(blocks=1, channels=2), "float32")
    assert max(len(strip) for strip in strips(image[:, :1024])) <= SCALE * (32 + strips.radius)

    class Spy:
        radius = strips.radius

        def __call__(self, image, area):
            seen.append(image.shape[1])
            return strips(image, area)

    upscaler = Upscaler.__new__(Upscaler)
    upscaler.strips = Spy()
    upscaler(image)
    assert len(seen) > 2 and max(seen) <= 1024 + 2 * strips.radius

    tiles = TiledUpscaler(keras.Sequential([keras.Input((None, None, 3)), keras.layers.UpSampling2D(SCALE)]), SCALE)
    seen.clear()

    def nearest(patch):
        seen.append(max(patch.shape[1:3]))
        return tf.repeat(tf.repeat(patch, SCALE, axis=1), SCALE, axis=2)

    tiles.model = nearest
    tiles(image)
    assert max(seen) <= 512 // SCALE + 2 * 32


class Blur:
    """In place of ``Strips``: the mean of 7x7 pixels, upscaled to the nearest, in one strip."""

    radius = 3

    def __call__(self, image, area):
        yield cv2.blur(image, (7, 7), borderType=cv2.BORDER_REPLICATE).repeat(4, axis=0).repeat(4, axis=1)


@pytest.mark.parametrize("columns", [5, 9, 20])
def test_columns_overlap_by_the_receptive_field_radius(columns, rng):
    upscaler = Upscaler.__new__(Upscaler)
    upscaler.strips = Blur()
    image = rng.integers(0, 256, (11, 40, 3), np.uint8)
    np.testing.assert_array_equal(upscaler(image, columns=columns), upscaler(image))


def test_grey_levels_are_clipped_and_rounded():
    assert to_uint8(tf.constant([-3.0, 0.4, 0.6, 254.6, 300.0])).numpy().tolist() == [0, 0, 1, 255, 255]
