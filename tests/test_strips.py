"""Strips of rows and spans of columns: how far they overlap."""

import cv2
import numpy as np
import pytest

from superres.inference import Upscaler


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
