"""Upscaling of clips: compared with whole frames, and the area that is recomputed."""

import functools
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from conftest import ROOT, difference, randomise
from hypothesis import given
from hypothesis import strategies as st

from srgan import apply_srgan, bicubic_upscale
from superres.clips import frames as module
from superres.clips.frames import AVERAGED, CONTEXT, find_changes, regions, upscale_changes, upscale_frames
from superres.clips.reader import open_gif
from superres.clips.writer import save_gif
from superres.images.measures import flicker, psnr
from superres.network.models import generator

SMALL = randomise(generator(blocks=1, channels=4))
small = functools.partial(apply_srgan, generator=SMALL)


def spots(rng, shape=(60, 90), count=5):
    """Frames with two squares of noise that move over a static noisy background, and the squares' positions."""
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
def test_motion_is_as_in_the_whole_frame_and_costs_its_area(rng, function):
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
    assert max(areas[1:]) <= (9 + 2 * (2 + 12)) ** 2


def test_only_pixels_near_motion_change(rng):
    """A dot crosses a noisy background: within two pixels as in the whole frame, elsewhere as in the first."""
    background = rng.integers(0, 256, (12, 30, 3), np.uint8)
    frames = [background.copy() for _ in range(4)]
    for i, frame in enumerate(frames):
        frame[6, 4 + i] = 255 - frame[6, 4 + i]
    whole = [small(frame) for frame in frames]
    result = list(upscale_frames(frames, small))
    static = np.ones(whole[0].shape[:2], bool)
    static[4 * 4 : 4 * 9, 4 * 2 : 4 * 10] = False
    assert any((a[static] != b[static]).any() for a, b in zip(whole[:-1], whole[1:], strict=True)), "nothing would show"
    for i, frame in enumerate(result):
        np.testing.assert_array_equal(frame[static], whole[0][static])
        near = np.s_[4 * 4 : 4 * 9, 4 * (2 + max(i - 1, 0)) : 4 * (7 + i)]
        assert difference(frame[near], whole[i][near])[0] <= 1


@pytest.mark.parametrize("channels", [3, 4])
def test_a_moving_edge_leaves_no_trace(channels):
    """Static pixels beside the edge are upscaled again with it; bicubic interpolation reads two pixels to each side."""
    y, x = np.mgrid[:24, :32]
    frames = [np.where((y - 11.5) ** 2 + (x - 10 - 2 * i) ** 2 < 64, 255, 0) for i in range(3)]
    frames = [np.dstack([frame] * channels).astype(np.uint8) for frame in frames]
    whole = [bicubic_upscale(frame) for frame in frames]
    np.testing.assert_array_equal(list(upscale_frames(frames, bicubic_upscale)), whole)


def nearest(image):
    return image.repeat(4, axis=0).repeat(4, axis=1)


def with_dot(level):
    frame = np.full((9, 9), 100, np.uint8)
    frame[4, 4] = level
    return frame


def test_the_first_8_results_under_noise_are_averaged_and_static_pixels_keep_their_first():
    levels = [100, 111, 112, 103, 104, 105, 106, 119, 150, 151, 150, 151]
    frames = [with_dot(level) for level in levels]
    for k, result in enumerate(upscale_frames(frames, nearest), start=1):
        assert abs(result[18, 18] - np.mean(levels[: min(k, 8)])) < 0.51
    first = bicubic_upscale(frames[0])
    for result in upscale_frames(frames, bicubic_upscale):
        result[16:20, 16:20] = first[16:20, 16:20]
        np.testing.assert_array_equal(result, first)


def test_noise_may_last():
    """For more frames than a byte counts, with the mean of the first ones kept."""
    results = [frame[18, 18] for frame in upscale_frames([with_dot(100 + 4 * (i % 2)) for i in range(300)], nearest)]
    assert set(results[8:]) == {102}


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_the_mean_of_each_channel_counts(channel):
    """One that rises by 12 is motion, though the mean of all three rises by 4."""
    first, second = np.full((2, 24, 24, 3), 100, np.uint8)
    second[8:12, 8:12, channel] += 12
    *_, result = upscale_frames([first, second], nearest)
    np.testing.assert_array_equal(result[40, 40], second[10, 10])


def test_a_level_that_keeps_rising_is_motion():
    *_, result = upscale_frames([with_dot(level) for level in (100, 150, 200)], nearest)
    assert result[18, 18] == 200


@pytest.mark.parametrize(
    "rows, columns, step, moves", [(1, 1, 53, False), (1, 1, 55, True), (6, 8, 12, False), (7, 8, 12, True)]
)
def test_noise_keeps_the_mean_of_3x3_within_6_and_a_third_of_9x9(rows, columns, step, moves):
    first, second = np.full((2, 24, 24), 100, np.uint8)
    block, middle = np.s_[8 : 8 + rows, 8 : 8 + columns], (8 + rows // 2, 8 + columns // 2)
    second[block] += (step * (1 - 2 * (np.indices((rows, columns)).sum(0) % 2))).astype(np.uint8)
    _, result = upscale_frames([first, second], nearest)
    expected = second[middle] if moves else (100 + float(second[middle])) / 2
    assert abs(result[::4, ::4][middle] - float(expected)) < 0.51


def test_a_pixel_beside_flicker_is_averaged_with_it():
    """Two pixels away the input is the same, the result is not: as often as the flicker, not as often as itself."""
    frames = [with_dot(level) for level in (100, 103, 106, 103)]
    frames[3][4, 6] += 1  # it has changed before, so it is not static
    calls = iter([0, 30, 60, 90])

    def level_of_call(image):
        return np.full([4 * length for length in image.shape], next(calls), np.uint8)

    for expected, result in zip((0, 15, 30, 45), upscale_frames(frames, level_of_call), strict=True):
        assert result[4 * 4, 4 * 6] == expected


def test_motion_starts_a_new_mean():
    """Whatever the sum of the results before it left."""
    levels = [100, 103, 200, 203]
    results = list(upscale_frames([with_dot(level) for level in levels], nearest))
    assert [int(result[18, 18]) for result in results] == [100, 102, 200, 202]


def test_a_mean_of_results_is_exact_to_half_a_level(rng):
    """However the results are rounded on the way."""
    levels = rng.integers(100, 106, 8)
    frames = [with_dot(level) for level in levels]
    results = rng.integers(0, 256, (8, 36, 36), np.uint8)
    calls = iter(results)
    shown = upscale_frames(frames, lambda image: next(calls))
    assert len(set(levels[:3])) > 1
    for k, frame in enumerate(shown, start=1):
        seen = results[: 1 + np.count_nonzero(np.diff(levels[:k]))].astype(float)
        assert np.abs(frame[16:20, 16:20] - seen.mean(0)[16:20, 16:20]).max() <= 0.5


@pytest.mark.parametrize("noise", [2, 40])
@pytest.mark.parametrize("shape", [(30, 40), (30, 40, 3)])
def test_large_frames_are_upscaled_and_merged_in_parts(monkeypatch, rng, shape, noise):
    frames = [rng.integers(0, 256, shape, np.uint8) for _ in range(2)]
    for _ in range(3):
        step = rng.integers(-noise, noise + 1, shape) * (rng.random(shape) < 0.3)
        frames.append(np.clip(frames[1] + step, 0, 255).astype(np.uint8))
    whole = list(upscale_frames(frames, bicubic_upscale))
    monkeypatch.setattr(module, "UPSCALED_AT_ONCE", 300)
    monkeypatch.setattr(module, "MERGED_AT_ONCE", 100)
    areas = []
    parts = upscale_frames(frames, lambda image: areas.append(image[:1].size) or bicubic_upscale(image))
    np.testing.assert_array_equal(list(parts), whole)
    assert len(areas) > 3 * len(frames)


@pytest.mark.parametrize("channels", [[], [3], [4]])
def test_changes_are_where_the_result_differs(rng, channels):
    frames = [rng.integers(0, 256, (24, 30, *channels), np.uint8)]
    for number in range(5):
        frames.append(frames[-1].copy())
        frames[-1][number : number + 3, 25 - number : 28] ^= 3
    frames.append(frames[-1])
    results = list(upscale_frames(frames, bicubic_upscale))
    for changes, clip in ((upscale_changes(frames, bicubic_upscale), results), (find_changes(frames), frames)):
        for number, change in enumerate(changes):
            np.testing.assert_array_equal(change.frame, clip[number])
            changed = np.zeros(change.frame.shape[:2], bool)
            changed[change.box] = change.changed
            expected = np.atleast_3d(clip[number] != clip[number - 1]).any(-1) if number else True
            np.testing.assert_array_equal(changed, np.broadcast_to(expected, changed.shape))


def test_what_changed_before_is_not_said_again(rng):
    """All changes, then two corners: what lies between them is within their box, and the same."""
    frames = [rng.integers(0, 256, (64, 64, 3), np.uint8)]
    frames.append(255 - frames[0])
    frames.append(frames[1].copy())
    frames[2][:4, :4] ^= 255
    frames[2][-4:, -4:] ^= 255
    *_, change = upscale_changes(frames, bicubic_upscale, context=2)
    assert change.changed.shape == (256, 256) and not change.changed[64:-64, 64:-64].any()


def test_frames_that_repeat_are_upscaled_once(rng):
    frame = rng.integers(0, 256, (5, 5, 4), np.uint8)
    calls = []
    result = list(upscale_frames([frame, frame.copy(), frame.copy()], lambda f: calls.append(1) or small(f)))
    assert len(result) == 3 and len(calls) == 1


@pytest.fixture
def dithered_clip():
    """Dithered frames of a static scene, with noise that makes the dither flicker, and the original frames."""
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


def test_flickering_dither_becomes_static_and_nearer_to_the_original(dithered_clip):
    frames, originals = dithered_clip
    whole = [bicubic_upscale(frame) for frame in frames]
    result = list(upscale_frames(frames, bicubic_upscale))
    assert flicker(result, originals) < 0.5 * flicker(whole, originals)
    assert psnr(originals[0], result[-1]) > psnr(originals[0], whole[-1]) + 0.2
    assert (result[-1] == result[-2]).mean() > 0.9


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 20), st.integers(0, 6), st.integers(0, 2**32))
def test_regions_hold_everything_and_cost_no_more_than_the_frame(height, width, margin, dots, seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), bool)
    mask[rng.integers(0, height, dots), rng.integers(0, width, dots)] = True
    rest, cost = mask.copy(), 0
    for rows, columns in regions(mask, margin):
        assert 0 <= rows.start < rows.stop <= height and 0 <= columns.start < columns.stop <= width
        assert mask[rows, columns].any()
        rest[rows, columns] = False
        outer = [slice(max(side.start - margin, 0), side.stop + margin) for side in (rows, columns)]
        cost += mask[*outer].size
    assert not rest.any() and cost <= height * width


@pytest.mark.parametrize("shape", [(20, 24), (20, 24, 3), (20, 24, 4)])
def test_grey_rgb_and_rgba_from_any_iterable(rng, shape):
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


def test_a_gif_of_frames_and_no_frames(tmp_path, rng, monkeypatch):
    frames = [rng.integers(0, 8, (9, 9, 3), np.uint8) * 30 for _ in range(2)]
    save_gif(tmp_path / "a.gif", frames, 40)
    gif = open_gif(tmp_path / "a.gif")
    expected = list(upscale_frames(list(gif), bicubic_upscale))
    monkeypatch.setattr(module, "static_pixels", None)  # a GIF knows them
    np.testing.assert_array_equal(list(upscale_frames(gif, bicubic_upscale)), list(expected))
    monkeypatch.undo()
    assert not list(upscale_frames([], bicubic_upscale)) and not list(upscale_frames(iter([]), bicubic_upscale))


RGB = np.zeros((4, 5, 3), np.uint8)


@pytest.mark.parametrize(
    "frames, message",
    [
        (None, "frames are NoneType, expected a list"),
        (5, "frames are int, expected"),
        (RGB, r"frames are one image of shape \(4, 5, 3\), expected a list of images"),
        (RGB[..., 0], "frames are one image"),
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


@pytest.mark.parametrize("context", [-1, 1.5, True, None, "16", np.array([16])])
def test_a_wrong_context_is_refused(context):
    with pytest.raises(ValueError, match=r"context is .* expected a whole number from 0"):
        list(upscale_frames([RGB], bicubic_upscale, context=context))
    assert list(upscale_frames([RGB], bicubic_upscale, context=np.int64(0)))


@pytest.mark.parametrize(
    "function, message",
    [
        (
            lambda image: image,
            r"uint8 of shape \(4, 5, 3\) of an image \(4, 5, 3\), expected uint8 of shape \(16, 20, 3\)",
        ),
        (lambda image: bicubic_upscale(image)[..., 0], r"shape \(16, 20\)"),
        (lambda image: bicubic_upscale(image).astype(np.float32), "made float32"),
        (lambda image: None, "made NoneType"),
    ],
)
def test_a_function_that_makes_no_image_4_times_as_large_is_refused(function, message):
    with pytest.raises(ValueError, match=message):
        list(upscale_frames([RGB], function))


def test_an_interruption_leaves_no_file_and_the_next_call_works(tmp_path, rng):
    frames = [rng.integers(0, 256, (20, 24, 3), np.uint8) for _ in range(3)]
    calls = []

    def interrupted(image):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return bicubic_upscale(image)

    with pytest.raises(KeyboardInterrupt):
        save_gif(tmp_path / "a.gif", upscale_frames(frames, interrupted), 40)
    assert len(calls) == 2 and not list(tmp_path.iterdir())
    expected = list(upscale_frames(frames, bicubic_upscale))
    np.testing.assert_array_equal(list(upscale_frames(frames, interrupted)), expected)


def test_two_clips_at_once(tmp_path, rng):
    """In two threads, which write one file: it is either's, and nothing else is left."""
    clips = [[rng.integers(0, 256, (20, 24, 3), np.uint8) for _ in range(4)] for _ in range(2)]
    for number, clip in enumerate(clips):
        save_gif(tmp_path / f"{number}.gif", upscale_frames(clip, bicubic_upscale), 40)
    start = threading.Barrier(2)

    def work(clip):
        start.wait()
        save_gif(tmp_path / "both.gif", upscale_frames(clip, bicubic_upscale), 40)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, clips))
    both = (tmp_path / "both.gif").read_bytes()
    assert both in [(tmp_path / f"{number}.gif").read_bytes() for number in range(2)]
    assert len(list(tmp_path.iterdir())) == 3


def test_the_context_is_enough_for_the_bundled_weights():
    """To a grey level. The image is cut where it is beyond the receptive-field radius of the region."""
    frame = next(iter(open_gif(ROOT / "gifs" / "crossing_lr.gif")))[: 46 + 40, : 56 + 40]
    part = apply_srgan(frame[30 - CONTEXT : 46 + CONTEXT, 40 - CONTEXT : 56 + CONTEXT])
    inner = part[4 * CONTEXT : 4 * (CONTEXT + 16), 4 * CONTEXT : 4 * (CONTEXT + 16)]
    assert difference(inner, apply_srgan(frame)[4 * 30 : 4 * 46, 4 * 40 : 4 * 56])[0] <= 1


@pytest.mark.parametrize("clip", ["motion", "noise"])
def test_memory_for_each_pixel_of_a_frame(clip, monkeypatch, rng):
    """Beside the frames: result 48 bytes, its mask of changes 16, remainder 48, mean 12."""
    monkeypatch.setattr(module, "UPSCALED_AT_ONCE", 2**14)
    monkeypatch.setattr(module, "MERGED_AT_ONCE", 2**12)
    first = bicubic_upscale(rng.integers(0, 256, (30, 30, 3), np.uint8), 20)
    frames = [np.roll(first, 4 * i, axis=1) for i in range(4)]
    if clip == "noise":
        frames = [first + (rng.random(first.shape[:2]) < 0.2)[..., np.newaxis].astype(np.uint8) for _ in range(4)]
    tracemalloc.start()
    for _ in upscale_changes(frames, bicubic_upscale):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 144 * 600**2
