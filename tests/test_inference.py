"""Images of every size and kind through a network: tiles without seams, grey, alpha, precision."""

import gc
import weakref

import cv2
import numpy as np
import pytest
from conftest import difference, plain, randomise
from hypothesis import given, settings
from hypothesis import strategies as st

from superres import inference
from superres.inference import TiledUpscaler, Upscaler, bicubic, cover_hidden, ready, spans, tiled, upscale, upscale_frames
from superres.network import SCALE, generator, srcnn

BLOCKS = 16
SMALL = randomise(generator(blocks=BLOCKS, channels=4))
UPSCALER = Upscaler(SMALL)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 130), st.integers(1, 60), st.integers(7, 70), st.integers(1, 4000), st.integers(0, 9))
def test_bands_and_columns_equal_the_whole_image(height, width, columns, area, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    most, mean = difference(UPSCALER(image, columns=columns, area=area), plain(SMALL, image))
    assert most <= 1 and mean < 0.01


def test_bands_are_of_the_area_asked_for(rng):
    """Nothing of the image is held back or computed twice, but for the rows that the first strip waits for."""
    image = rng.integers(0, 256, (200, 30, 3), np.uint8)
    rows = [len(strip) for strip in UPSCALER.strips(image, area=300)]
    assert sum(rows) == 800 and set(rows[1:-1]) == {SCALE * 10} and len(rows) == 16


@pytest.mark.parametrize("blocks", [1, BLOCKS])
def test_reach_is_the_receptive_field(blocks):
    """With positive weights nothing cancels: what one pixel changes is all that depends on it."""
    model = generator(blocks=blocks, channels=2)
    model.set_weights([np.full(w.shape, float(w.ndim > 1)) / np.prod(w.shape[:3]) for w in model.get_weights()])
    radius = Upscaler(model).strips.radius
    dot = np.zeros((1, 1, 2 * radius + 5, 3), "float32")
    dot[0, 0, radius + 2] = 1e30
    columns = np.flatnonzero(np.any(model(dot)[0], (0, 2))) // SCALE
    assert (radius + 2 - columns.min(), columns.max() - radius - 2) == (radius, radius)


@given(st.integers(1, 5000), st.integers(1, 1200))
def test_spans_cover_evenly(length, most):
    cut = spans(length, most)
    sizes = [stop - start for start, stop in cut]
    assert [start for start, _ in cut[1:]] == [stop for _, stop in cut[:-1]]
    assert (cut[0][0], cut[-1][1]) == (0, length)
    assert max(sizes) <= most and max(sizes) - min(sizes) <= 1 and len(cut) == -(-length // most)


def test_tiled_gives_each_tile_its_surroundings(rng):
    image = rng.integers(0, 256, (23, 31, 3), np.uint8)
    blur = lambda x: cv2.blur(x, (5, 5), borderType=cv2.BORDER_ISOLATED | cv2.BORDER_REPLICATE)  # noqa: E731
    np.testing.assert_array_equal(tiled(blur, image, 2, 7), blur(image))
    assert (tiled(blur, image, 1, 7) != blur(image)).any()


def test_srcnn_refines_the_bicubic_enlargement(rng):
    model = randomise(srcnn())
    image = rng.integers(0, 256, (19, 40, 3), np.uint8)
    upscaled = cv2.resize(image, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    assert difference(TiledUpscaler(model, 1)(image, tile=33), plain(model, upscaled))[0] <= 1


def test_grey_stays_grey(rng):
    grey = rng.integers(0, 256, (9, 12), np.uint8)
    colour = upscale(np.dstack([grey] * 3), SMALL)
    result = upscale(grey, SMALL)
    assert result.shape == (36, 48)
    np.testing.assert_array_equal(result, cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY))


def test_rgba_keeps_its_alpha(rng):
    rgba = rng.integers(1, 256, (9, 12, 4), np.uint8)
    result = upscale(rgba, SMALL)
    np.testing.assert_array_equal(result[..., :3], upscale(rgba[..., :3].copy(), SMALL))
    alpha = cv2.resize(rgba[..., 3], None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    np.testing.assert_array_equal(result[..., 3], alpha)


def test_hidden_colours_give_way_to_the_nearest_visible():
    rgba = np.zeros((1, 6, 4), np.uint8)
    rgba[0, 0], rgba[0, 5] = (255, 0, 0, 255), (0, 0, 255, 9)
    assert cover_hidden(rgba)[0].tolist() == [[255, 0, 0]] * 3 + [[0, 0, 255]] * 3
    assert not cover_hidden(np.zeros((2, 2, 4), np.uint8)).any()


@pytest.mark.parametrize(
    "image, said",
    [
        (np.zeros((4, 4, 3), "float32"), "float32"),
        (np.zeros((4, 4, 2), np.uint8), r"\(4, 4, 2\)"),
        (np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\)"),
        (np.zeros((1, 4, 4, 3), np.uint8), r"\(1, 4, 4, 3\)"),
        (np.zeros(4, np.uint8), r"\(4,\)"),
        ([[1, 2], [3, 4]], "list"),
        (None, "NoneType"),
    ],
)
def test_anything_else_is_said_to_be_wrong(image, said):
    with pytest.raises(ValueError, match=f"expected an? .*got .*{said}"):
        upscale(image, SMALL)


def test_bfloat16_is_close_to_float32(photo):
    from superres.weights import load_generator

    exact, fast = (upscale(photo, load_generator(), dtype).astype(float) for dtype in ("float32", "bfloat16"))
    mse = np.mean((exact - fast) ** 2)
    assert mse > 0 and 10 * np.log10(255**2 / mse) >= 45


def test_a_model_is_made_ready_once_and_let_go():
    model = randomise(generator(blocks=1, channels=4))
    assert ready(model) is ready(model)
    assert ready(model) is not ready(model, "bfloat16")
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_still_background_stays_still(rng):
    """A dot crosses a noisy background: what it never touches does not move, what it does is upscaled anew."""
    background = rng.integers(0, 256, (12, 30, 3), np.uint8)
    frames = [background.copy() for _ in range(4)]
    for i, frame in enumerate(frames):
        frame[6, 4 + i] = 255 - frame[6, 4 + i]
    own = [upscale(frame, SMALL) for frame in frames]
    result = list(upscale_frames(frames, lambda frame: upscale(frame, SMALL)))
    static = np.ones(own[0].shape[:2], bool)
    static[4 * 6 : 4 * 7, 4 * 4 : 4 * 8] = False
    assert any((a[static] != b[static]).any() for a, b in zip(own[:-1], own[1:], strict=True)), "nothing to hold static"
    for i, frame in enumerate(result):
        np.testing.assert_array_equal(frame[static], own[0][static])
        near = np.s_[4 * 6 : 4 * 7, 4 * max(4 + i - inference.STATIC_RADIUS, 4) : 4 * (5 + i)]
        np.testing.assert_array_equal(frame[near], own[i][near])


def test_frames_that_repeat_are_upscaled_once(rng):
    frame = rng.integers(0, 256, (5, 5, 4), np.uint8)
    calls = []
    result = list(upscale_frames([frame, frame.copy(), frame.copy()], lambda f: calls.append(1) or upscale(f, SMALL)))
    assert len(result) == 3 and len(calls) == 1


def test_an_unknown_dtype_is_refused(rng):
    with pytest.raises(ValueError, match="expected dtype float32 or bfloat16, got 'float16'"):
        upscale(rng.integers(0, 256, (4, 4, 3), np.uint8), SMALL, "float16")
