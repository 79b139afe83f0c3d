"""Clips upscaled where they change: against whole frames, and against the work that it takes."""

import functools

import cv2
import numpy as np
import pytest
from conftest import ROOT, difference, randomise
from hypothesis import given, settings
from hypothesis import strategies as st

from srgan import apply_srgan, bicubic_upscale
from superres.figures import side_by_side
from superres.frames import AVERAGED, CONTEXT, STATIC_RADIUS, cover, upscale_frames
from superres.gif_reader import open_gif
from superres.gif_writer import save_gif
from superres.inference import upscale
from superres.measures import flicker, psnr
from superres.network import generator

SMALL = randomise(generator(blocks=1, channels=4))
small = functools.partial(upscale, model=SMALL)


def spots(rng, shape=(60, 90), count=5):
    """Two squares of noise in a noisy background, each at a place of its own in every frame, and where they are."""
    background = rng.integers(0, 256, (*shape, 3), np.uint8)
    frames, places = [], []
    for i in range(count):
        frame, place = background.copy(), [(4 + i, 5 + i), (40 - i, 70 + i)]
        for y, x in place:
            frame[y : y + 8, x : x + 8] = rng.integers(0, 256, (8, 8, 3), np.uint8)
        frames.append(frame)
        places.append(place)
    return frames, places


@pytest.mark.parametrize("function", [small, bicubic_upscale], ids=["network", "bicubic"])
def test_what_moves_is_as_in_the_whole_frame_and_costs_its_area(rng, function):
    frames, places = spots(rng)
    areas = []
    results = list(
        upscale_frames(frames, lambda image: areas.append(image[..., 0].size) or function(image), context=12)
    )
    whole = [function(frame) for frame in frames]
    for result, own, place in zip(results, whole, places, strict=True):
        for y, x in place:
            moving = np.s_[4 * y : 4 * (y + 8), 4 * x : 4 * (x + 8)]
            assert difference(result[moving], own[moving])[0] <= 1
    assert len(areas) == 1 + 2 * (len(frames) - 1), "expected two regions in every frame but the first"
    # A square that moves by one pixel, to either side the static radius and the context.
    assert max(areas[1:]) <= (9 + 2 * (STATIC_RADIUS + 12)) ** 2


def test_static_background_stays_static(rng):
    """A dot crosses a noisy background: what it never touches does not move, what it does is upscaled anew."""
    background = rng.integers(0, 256, (12, 30, 3), np.uint8)
    frames = [background.copy() for _ in range(4)]
    for i, frame in enumerate(frames):
        frame[6, 4 + i] = 255 - frame[6, 4 + i]
    own = [small(frame) for frame in frames]
    result = list(upscale_frames(frames, small))
    static = np.ones(own[0].shape[:2], bool)
    static[4 * 6 : 4 * 7, 4 * 4 : 4 * 8] = False
    assert any((a[static] != b[static]).any() for a, b in zip(own[:-1], own[1:], strict=True)), "nothing to hold static"
    for i, frame in enumerate(result):
        np.testing.assert_array_equal(frame[static], own[0][static])
        near = np.s_[4 * 6 : 4 * 7, 4 * max(4 + i - STATIC_RADIUS, 4) : 4 * (5 + i)]
        assert difference(frame[near], own[i][near])[0] <= 1


def test_frames_that_repeat_are_upscaled_once(rng):
    frame = rng.integers(0, 256, (5, 5, 4), np.uint8)
    calls = []
    result = list(upscale_frames([frame, frame.copy(), frame.copy()], lambda f: calls.append(1) or small(f)))
    assert len(result) == 3 and len(calls) == 1


@pytest.fixture
def dithered_clip():
    """A static scene as a dithered GIF shows it, with noise that makes the dither flicker, and its original."""
    rng = np.random.default_rng(0)
    original = cv2.GaussianBlur(rng.normal(128, 600, (160, 200, 3)), (0, 0), 12).clip(0, 255).astype(np.uint8)
    low = cv2.resize(original, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA).astype(float)
    step = 16
    dither = np.tile(rng.permutation(64).reshape(1, 8, 8) / 64 - 0.5, (1, 5, 7))[0, :40, :50, None]
    frames = [
        ((low / step + dither + rng.normal(0, 0.04, low.shape)).round() * step).clip(0, 255).astype(np.uint8)
        for _ in range(AVERAGED + 6)
    ]
    return frames, [original] * len(frames)


def test_dither_that_flickers_comes_to_rest_nearer_to_the_original(dithered_clip):
    frames, originals = dithered_clip
    whole = [bicubic_upscale(frame) for frame in frames]
    result = list(upscale_frames(frames, bicubic_upscale))
    assert flicker(result, originals) < 0.5 * flicker(whole, originals)
    assert psnr(originals[0], result[-1]) > psnr(originals[0], whole[-1]) + 0.2
    assert (result[-1] == result[-2]).mean() > 0.9


def test_flicker_counts_what_changes_where_the_original_does_not():
    original = [np.zeros((8, 8, 3), np.uint8)] * 3
    moving = [frame.copy() for frame in original]
    moving[1][:4] = 200
    frames = [frame.copy() for frame in moving]
    frames[1][4:6] = 255
    assert flicker(original, original) == flicker(moving, moving) == 0
    assert flicker(frames, moving) == pytest.approx(219 / 2)
    assert flicker(frames, original) == pytest.approx(219 / 4 + 219 * 200 / 255 / 2)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 20), st.integers(0, 6), st.integers(0, 2**32))
def test_cover_holds_everything_and_costs_no_more_than_one_rectangle(height, width, margin, dots, seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), bool)
    mask[rng.integers(0, height, dots), rng.integers(0, width, dots)] = True
    rest, cost = mask.copy(), 0
    for top, bottom, left, right in cover(mask, margin):
        assert 0 <= top < bottom <= height and 0 <= left < right <= width
        assert mask[top:bottom, left:right].any()
        rest[top:bottom, left:right] = False
        cost += mask[max(top - margin, 0) : bottom + margin, max(left - margin, 0) : right + margin].size
    assert not rest.any() and cost <= height * width


@pytest.mark.parametrize("shape", [(20, 24), (20, 24, 3), (20, 24, 4)])
def test_every_kind_of_frame_from_every_kind_of_iterable(rng, shape):
    frames = [rng.integers(0, 256, shape, np.uint8)] * 2
    frames.append(frames[0].copy())
    frames[2][5:9, 6:10] = 255 - frames[2][5:9, 6:10]

    def one_buffer():
        buffer = np.empty(shape, np.uint8)
        for frame in frames:
            buffer[:] = frame
            yield buffer

    expected = list(upscale_frames(frames, small))
    assert [frame.shape for frame in expected] == [(80, 96, *shape[2:])] * 3
    assert (expected[2] != expected[0]).any()
    for same in (iter(frames), tuple(frames), np.array(frames), one_buffer()):
        np.testing.assert_array_equal(list(upscale_frames(same, small)), expected)


def test_a_gif_of_frames_and_no_frames(tmp_path, rng):
    frames = [rng.integers(0, 8, (9, 9, 3), np.uint8) * 30 for _ in range(2)]
    save_gif(tmp_path / "a.gif", frames, 40)
    gif = open_gif(tmp_path / "a.gif")
    np.testing.assert_array_equal(
        list(upscale_frames(gif, bicubic_upscale)), list(upscale_frames(list(gif), bicubic_upscale))
    )
    assert not list(upscale_frames([], bicubic_upscale)) and not list(upscale_frames(iter([]), bicubic_upscale))


def test_clips_side_by_side_keep_their_pixels_and_have_names(rng):
    low = [rng.integers(0, 256, (20, 30, 3), np.uint8) for _ in range(2)]
    high = [bicubic_upscale(frame) for frame in low]
    sheets = list(side_by_side({"Low resolution (nearest)": low, "Bicubic": high}, gap=8))
    assert len(sheets) == 2
    for sheet, small, large in zip(sheets, low, high, strict=True):
        np.testing.assert_array_equal(sheet[-80:, :120], small.repeat(4, axis=0).repeat(4, axis=1))
        np.testing.assert_array_equal(sheet[-80:, 128:], large)
        assert (sheet[:-80] < 128).any() and (sheet[:, 120:128] == 255).all()
    np.testing.assert_array_equal(sheets[0][:-80], sheets[1][:-80])
    with pytest.raises(ValueError):
        list(side_by_side({"a": low, "b": high[:1]}))


RGB = np.zeros((4, 5, 3), np.uint8)


@pytest.mark.parametrize(
    "frames, message",
    [
        (None, "expected frames as .* got NoneType"),
        (5, "got int"),
        ([RGB, RGB.astype(float)], "frame 2: expected a uint8 image .* got float64"),
        ([RGB, None], "frame 2: expected an image .* got NoneType"),
        ([RGB, RGB[1:]], r"frame 2 is \(3, 5, 3\), but the first is \(4, 5, 3\)"),
        ([RGB, RGB[..., 0]], "expected one shape"),
        ("gif", "frame 1: expected an image .* got str"),
    ],
)
def test_wrong_frames_are_refused_before_anything_is_upscaled(frames, message):
    def fail(image):
        raise AssertionError("upscaled")

    with pytest.raises(ValueError, match=message):
        list(upscale_frames(frames, fail))


def test_the_context_is_enough_for_the_bundled_weights():
    """A region upscaled with its context is that of the whole image, to a grey level."""
    frame = next(iter(open_gif(ROOT / "gifs" / "crossing_lr.gif")))
    part = apply_srgan(frame[30 - CONTEXT : 46 + CONTEXT, 40 - CONTEXT : 56 + CONTEXT])
    inner = part[4 * CONTEXT : 4 * (CONTEXT + 16), 4 * CONTEXT : 4 * (CONTEXT + 16)]
    assert difference(inner, apply_srgan(frame)[4 * 30 : 4 * 46, 4 * 40 : 4 * 56])[0] <= 1
