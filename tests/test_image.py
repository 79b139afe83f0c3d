"""What an image is, and bicubic interpolation of it, with alpha and without."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superres.images.image import bicubic_downscale, bicubic_upscale, cover_hidden, to_uint8


@pytest.mark.parametrize("shape", [(13, 9), (13, 9, 3), (13, 9, 4)])
def test_bicubic_is_opencvs(shape, rng):
    image = rng.integers(0, 256, shape, np.uint8)
    image[..., 3:] = 255
    for result, size in (
        (bicubic_upscale(image), (36, 52)),
        (bicubic_upscale(image, 3), (27, 39)),
        (bicubic_upscale(image, np.float32(1.5)), (14, 20)),
        (bicubic_downscale(image), (2, 3)),
        (bicubic_downscale(image, np.int64(9)), (1, 1)),
    ):
        np.testing.assert_array_equal(result, cv2.resize(image, size, interpolation=cv2.INTER_CUBIC))


@pytest.mark.parametrize("function", [bicubic_upscale, bicubic_downscale])
@pytest.mark.parametrize("scale", [0, -1, 0.5, "2", None, np.nan, np.inf, True, 1e6, 1e12])
def test_a_scale_that_makes_no_sense(function, scale):
    with pytest.raises(ValueError, match="cannot (enlarge|reduce) an image .*times: expected a (whole )?number from 1"):
        function(np.zeros((8, 9), np.uint8), scale)


def test_an_image_too_small_to_reduce():
    assert bicubic_downscale(np.zeros((4, 4), np.uint8)).shape == (1, 1)
    for image, scale in ((np.zeros((3, 9, 3), np.uint8), 4), (np.zeros((9, 9), np.uint8), 1.5)):
        with pytest.raises(ValueError, match="cannot reduce an image of 9x[39] pixels"):
            bicubic_downscale(image, scale)


@settings(max_examples=30)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 9))
def test_bicubic_weights_colours_with_alpha(height, width, seed):
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (height, width, 4), np.uint8)
    image[random.random((height, width)) < 0.3, 3] = 0
    colours, alpha = image[..., :3].astype(float), image[..., 3:].astype(float)
    resize = lambda x: cv2.resize(x, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)  # noqa: E731
    weight = resize(alpha)
    result = bicubic_upscale(image)
    np.testing.assert_array_equal(result[..., 3], resize(image[..., 3]))
    shown = weight >= 0.1
    expected = resize(colours * alpha)[shown] / weight[shown][:, None]
    assert np.abs(result[..., :3][shown] - expected.clip(0, 255)).max(initial=0) < 0.51


@pytest.mark.parametrize("resize", [bicubic_upscale, lambda disc: bicubic_downscale(disc, 3)])
def test_a_white_disc_has_no_dark_rim(resize):
    y, x = np.mgrid[:24, :24] - 11.5
    disc = np.zeros((24, 24, 4), np.uint8)
    disc[x**2 + y**2 < 81] = 255
    result = resize(disc)
    assert (result[result[..., 3] > 0][:, :3] == 255).all() and 0 < result[..., 3].mean() < 255


@settings(max_examples=20)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
def test_hidden_colours_give_way_to_the_nearest_visible(height, width, seed):
    """Of all visible pixels, by comparing every distance; colours tell the pixels apart."""
    random = np.random.default_rng(seed)
    rgba = np.zeros((height, width, 4), np.uint8)
    rgba[..., 0], rgba[..., 1] = np.indices((height, width))
    rgba[..., 3] = 9 * (random.random((height, width)) < 0.3)
    covered = cover_hidden(rgba)
    visible = np.argwhere(rgba[..., 3])
    if not len(visible):
        np.testing.assert_array_equal(covered, rgba[..., :3])
        return
    for y, x in np.ndindex(height, width):
        nearest = np.square(visible - (y, x)).sum(1).min()
        assert np.square(covered[y, x, :2].astype(int) - (y, x)).sum() == nearest
        assert rgba[tuple(covered[y, x, :2])][3], "a visible one"


def test_what_is_hidden_as_a_whole_stays_as_it_is(rng):
    rgba = rng.integers(0, 256, (3, 4, 4), np.uint8)
    rgba[..., 3] = 0
    np.testing.assert_array_equal(cover_hidden(rgba), rgba[..., :3])


def test_to_uint8_clips_and_rounds():
    assert to_uint8(np.array([-3, 0.4, 1.5, 2.5, 254.6, 300])).tolist() == [0, 0, 2, 2, 255, 255]
