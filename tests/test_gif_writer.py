"""Writing GIFs: files read back with this project, Pillow, OpenCV and by the letter of the specification."""

import struct
import tracemalloc

import cv2
import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gifs import PALETTE, noise, opencv_frames, pillow_frames, rgba, strict_frames, write
from superres.clips import writer as gif_writer
from superres.clips.frames import first_change
from superres.clips.reader import open_gif, read_gif
from superres.clips.writer import save_gif, write_changes
from superres.images.files import read_image
from superres.images.image import bicubic_upscale


@st.composite
def clips(draw):
    """Frames of few colours with static and perhaps transparent parts, durations and loop."""
    height, width, channels = draw(st.integers(1, 64)), draw(st.integers(1, 64)), draw(st.sampled_from([3, 4]))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    colours = np.column_stack([random.permutation(PALETTE)[:60], random.choice([0, 100, 128, 255], 60)])
    colours = colours.astype(np.uint8)[:, :channels]
    frames = [colours[random.integers(0, 60, (height, width))]]
    for _ in range(draw(st.integers(0, 11))):
        moving = random.random((height, width, 1)) < draw(st.sampled_from([0, 0.02, 0.5, 1]))
        frames.append(np.where(moving, colours[random.integers(0, 60, (height, width))], frames[-1]))
    durations = draw(st.lists(st.integers(0, 500), min_size=len(frames), max_size=len(frames)))
    return frames, durations, draw(st.sampled_from([None, 0, 1, 7, 65535]))


@given(clips())
def test_round_trip(tmp_path, clip):
    """Lossless with few enough colours for the palettes."""
    frames, durations, loop = clip
    path = tmp_path / "a.gif"
    save_gif(path, iter(frames), durations, loop)
    back, times, repeats = read_gif(path)
    assert (len(back), repeats) == (len(frames), loop)
    assert abs(sum(times) - sum(durations)) <= 5
    assert all(abs(time - duration) < 10 for time, duration in zip(times, durations, strict=True))
    for frame, ours, pillows in zip(frames, back, pillow_frames(path), strict=True):
        np.testing.assert_array_equal(rgba(ours), rgba(frame))
        np.testing.assert_array_equal(pillows, rgba(frame))
    for frame, opencvs in zip(frames, opencv_frames(path)[0], strict=True):
        np.testing.assert_array_equal(opencvs, rgba(frame))


@pytest.mark.parametrize("at_once", [2**19, 16])
def test_what_would_look_the_same_is_not_drawn(at_once, tmp_path, monkeypatch):
    """Pixels that may have changed and have their colour on the screen already."""
    monkeypatch.setattr(gif_writer, "PIXELS_AT_ONCE", at_once)
    frame = noise((9, 7, 3))
    changed = frame.copy()
    changed[4, 5] ^= 255
    with open(tmp_path / "a.gif", "wb") as file:
        write_changes(file, map(first_change, [frame, frame, changed]), 40, 0)
    boxes = [image.box for image in open_gif(tmp_path / "a.gif").images]
    assert boxes == [np.s_[0:9, 0:7], np.s_[0:1, 0:1], np.s_[4:5, 5:6]]


def test_one_pixel_off_by_one_level_keeps_its_colour(tmp_path):
    """Though the mean of all is nearly that of the others."""
    frame = np.full((6, 6, 3), 100, np.uint8)
    frame[2, 3, 1] = 99
    save_gif(tmp_path / "a.gif", [frame], 40)
    np.testing.assert_array_equal(read_gif(tmp_path / "a.gif")[0][0], frame)


@pytest.mark.parametrize("levels", [(100, 101), (101, 102)])
def test_means_halfway_between_two_levels_are_rounded_up(levels, monkeypatch):
    """To the nearest even one, they would hang on a single pixel."""
    monkeypatch.setattr(gif_writer, "COLOURS", 1)
    codes = np.repeat(np.uint32(levels), 10) * 0x010101
    assert gif_writer.Quantiser(lambda: iter([codes])).palette == levels[1] * 0x010101


CASES = {
    "1x1": [np.full((1, 1, 3), 7, np.uint8)],
    "grey": [noise((9, 7), seed) // 2 for seed in range(2)],
    "one frame": [noise((9, 7, 3))],
    "two equal frames": [np.array([[[1, 2, 3], [200, 0, 0]]], np.uint8)] * 2,
    "one colour": [np.full((3, 5, 3), 9, np.uint8)] * 3,
    "two colours": [np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)],
    "all transparent": [np.zeros((4, 6, 4), np.uint8)] * 2,
    "a hole": [np.dstack([noise((6, 6, 3)), np.eye(6, dtype=np.uint8) * 255])] * 2,
    "a hole in the second": [rgba(noise((6, 6, 3))), np.dstack([noise((6, 6, 3)), np.eye(6, dtype=np.uint8) * 255])],
    "3 colours and none": [PALETTE[np.arange(12).reshape(3, 4) % 3], PALETTE[np.arange(12).reshape(3, 4) % 4]],
    "255 colours": [PALETTE[:255].reshape(15, 17, 3), PALETTE[1:].reshape(15, 17, 3)],
    "256 colours": [PALETTE.reshape(16, 16, 3)] * 2,
    "many colours": [noise((40, 50, 3), seed) for seed in range(3)],
    "a hole that moves": [np.dstack([noise((6, 6, 3)), np.eye(6, k=k, dtype=np.uint8) * 255]) for k in range(3)],
}


def images_of(data):
    """Transparent index or None, table size, LZW code size and pixels of all images of a file without a loop block."""
    position = 19
    while data[position : position + 1] != b";":
        transparent = data[position + 6] if data[position + 3] & 1 else None
        width, height, flags = struct.unpack_from("<HHB", data, position + 13)
        size = 2 << (flags & 7)
        position += 18 + 3 * size
        end = position + 1
        while data[end]:
            end += 1 + data[end]
        pixels = Image.frombytes("L", (width, height), data[position + 1 : end + 1], "gif", data[position], False)
        yield transparent, size, data[position], np.asarray(pixels)
        position = end + 1


@pytest.mark.parametrize("frames", CASES.values(), ids=CASES)
def test_every_index_is_below_the_size_of_its_colour_table(tmp_path, frames):
    save_gif(tmp_path / "a.gif", frames, 40, None)
    images = list(images_of((tmp_path / "a.gif").read_bytes()))
    assert len(images) == len(frames)
    for transparent, size, code_size, pixels in images:
        assert max(pixels.max(), transparent or 0) < size
        assert code_size == max(2, size.bit_length() - 1)


@pytest.mark.parametrize("frames", CASES.values(), ids=CASES)
def test_all_readers_see_the_same(tmp_path, frames):
    path = tmp_path / "a.gif"
    save_gif(path, frames, 40)
    ours = [rgba(frame) for frame in read_gif(path)[0]]
    strict, durations = strict_frames(path.read_bytes())
    assert len(ours) == len(frames) and durations == [40] * len(frames)
    np.testing.assert_array_equal(strict, ours)
    np.testing.assert_array_equal(pillow_frames(path), ours)
    np.testing.assert_array_equal(opencv_frames(path)[0], ours)


def test_a_small_spot_keeps_its_colour_and_noise_its_detail(tmp_path):
    """Four blue pixels among 240,000 grey ones, and a higher PSNR than Pillow's median cut."""
    rng = np.random.default_rng(0)
    frame = (rng.normal(128, 20, (400, 600, 1)) + rng.normal(0, 8, (400, 600, 3))).clip(0, 255).astype(np.uint8)
    frame[200:202, 301:303] = 30, 60, 200
    save_gif(tmp_path / "a.gif", [frame], 0)
    [back], _, _ = read_gif(tmp_path / "a.gif")
    assert np.abs(back[200:202, 301:303].astype(int) - [30, 60, 200]).max() <= 4
    median_cut = np.asarray(Image.fromarray(frame).quantize(255).convert("RGB"))
    assert cv2.PSNR(frame, back) > cv2.PSNR(frame, median_cut) + 0.5


def test_even_areas_keep_their_levels_beside_many_colours(tmp_path):
    frame = noise((240, 320, 3)) % 24 + 90
    frame[:40], frame[40:80] = 100, 104
    save_gif(tmp_path / "a.gif", [frame], 0)
    [back], _, _ = read_gif(tmp_path / "a.gif")
    np.testing.assert_array_equal(back[:80], frame[:80])


def test_colours_of_a_palette_are_rounded_means(tmp_path):
    """Of 200 colours, three quarters of whose pixels are a level brighter."""
    frame = PALETTE[:200].repeat(8, axis=0).reshape(40, 40, 3) // 4 * 4
    frame += (np.arange(1600).reshape(40, 40, 1) % 4 > 0).astype(np.uint8)
    save_gif(tmp_path / "a.gif", [frame], 0)
    [back], _, _ = read_gif(tmp_path / "a.gif")
    assert (back == frame).all(-1).mean() >= 0.75


def test_a_photograph_of_256_greys_keeps_them_to_one_level(tmp_path):
    frame = noise((64, 64))
    save_gif(tmp_path / "a.gif", [frame], 0)
    [back], _, _ = read_gif(tmp_path / "a.gif")
    assert cv2.absdiff(back, np.dstack([frame] * 3)).max() <= 1


def test_static_pixels_do_not_change_in_a_file_of_many_colours(tmp_path):
    frames = [noise((40, 60, 3))]
    for seed in range(1, 6):
        frames.append(frames[-1].copy())
        frames[-1][seed : seed + 20, 5 * seed : 5 * seed + 20 : 2] = noise((20, 10, 3), seed)
    save_gif(tmp_path / "a.gif", frames, 40)
    back, _, _ = read_gif(tmp_path / "a.gif")
    for k in range(1, 6):
        static = (frames[k] == frames[k - 1]).all(-1)
        assert static.mean() > 0.5
        np.testing.assert_array_equal(back[k][static], back[k - 1][static])


def test_a_large_frame_is_quantised_in_strips_and_cells(tmp_path, monkeypatch):
    """The same file in strips; with colours in cells, nearly as near, and what has few colours stays exact."""
    frames = [np.random.default_rng(seed).normal(128, 30, (64, 64, 3)).clip(0, 255).astype(np.uint8) for seed in (0, 1)]
    frames.append(frames[1].copy())
    frames[2][9:20, 30:50] = frames[0][9:20, 30:50]
    files, qualities = [], []
    for strip, exact in ((2**19, 2**18), (300, 2**18), (300, 1000)):
        monkeypatch.setattr(gif_writer, "PIXELS_AT_ONCE", strip)
        monkeypatch.setattr(gif_writer, "EXACT_COLOURS", exact)
        save_gif(tmp_path / "a.gif", frames, 40)
        files.append((tmp_path / "a.gif").read_bytes())
        back = read_gif(tmp_path / "a.gif")[0]
        qualities.append([cv2.PSNR(*pair) for pair in zip(frames, back, strict=True)])
    assert np.subtract(qualities[0], qualities[2]).max() < 0.3
    assert files[0] == files[1] != files[2]
    few = [PALETTE[noise((64, 64), seed) % 255] for seed in range(2)]
    save_gif(tmp_path / "a.gif", few, 40)
    np.testing.assert_array_equal(read_gif(tmp_path / "a.gif")[0], few)


def test_palette_is_nearer_than_median_cut(tmp_path):
    frame = np.random.default_rng(0).normal(128, 30, (64, 64, 3)).clip(0, 255).astype(np.uint8)
    save_gif(tmp_path / "a.gif", [frame], 0)
    [back], _, _ = read_gif(tmp_path / "a.gif")
    median_cut = np.asarray(Image.fromarray(frame).quantize(255).convert("RGB"))
    assert cv2.PSNR(frame, back) > cv2.PSNR(frame, median_cut) + 0.5


def panning():
    """A photograph that pans, with a strip at the bottom that does not."""
    photograph = read_image(ROOT / "images" / "flowers_lr.jpg")
    photograph = bicubic_upscale(photograph[:60, :70])
    for k in range(4):
        yield np.vstack([photograph[:180, 8 * k : 8 * k + 240], photograph[180:, :240]])


def gradient():
    """Of all three channels, each its own way, and moving."""
    y, x = np.mgrid[:120, :160]
    for k in range(4):
        wave = 128 + 127 * np.sin((x + y + 9 * k) / 30)
        yield np.stack([x + 20 * k, 2 * y, wave], axis=-1).round().astype(np.uint8)


@pytest.mark.parametrize("clip", [panning, gradient])
def test_values_that_another_processor_rounds_differently_change_few_pixels(tmp_path, rng, clip):
    """One value in 5000, by a grey level, and in a static pixel for as long as it is static."""
    frames = np.array(list(clip()))

    def shown(frames):
        save_gif(tmp_path / "a.gif", frames, 40)
        return np.array(list(open_gif(tmp_path / "a.gif")))

    differ = []
    for _ in range(8):
        step = (rng.random(frames.shape) < 1 / 5000) * rng.choice([-1, 1], frames.shape)
        for k in range(1, len(frames)):
            static = (frames[k] == frames[k - 1]).all(-1)
            step[k][static] = step[k - 1][static]
        others = np.clip(frames + step, 0, 255).astype(np.uint8)
        differ.append((shown(frames) != shown(others)).any(-1).mean())
    assert 0 < np.mean(differ) < 0.006


def test_a_noisy_frame_is_drawn_where_that_brings_it_nearer(tmp_path):
    """Each pixel has the nearer of the colour on the screen and the nearest of the new palette."""
    frames = [noise((40, 60, 3)) // 2 + noise((40, 60, 3), seed) // 64 for seed in range(4)]
    save_gif(tmp_path / "a.gif", frames, 40)
    back, _, _ = read_gif(tmp_path / "a.gif")
    for k in range(1, 4):
        error, if_kept = (np.square(back[j].astype(int) - frames[k]).sum(-1) for j in (k, k - 1))
        assert (error <= if_kept).all()


def test_grey_frames_are_written_as_they_are(tmp_path):
    frames = [noise((9, 7), seed) for seed in range(2)]
    save_gif(tmp_path / "a.gif", frames, 40)
    for frame, back in zip(frames, open_gif(tmp_path / "a.gif"), strict=True):
        np.testing.assert_array_equal(back, np.dstack([frame] * 3))


def test_a_generator_may_reuse_its_buffer(tmp_path):
    def filling():
        buffer = np.empty((4, 4, 3), np.uint8)
        for level in (0, 100, 200):
            buffer[:] = level
            yield buffer

    save_gif(tmp_path / "a.gif", filling(), 40)
    assert [frame.max() for frame in open_gif(tmp_path / "a.gif")] == [0, 100, 200]


def test_memory_does_not_grow_with_the_number_of_frames(tmp_path):
    background = noise((60, 80, 3))

    def moving(count):
        for k in range(count):
            frame = background.copy()
            frame[k % 50 : k % 50 + 9, k % 70 : k % 70 + 9] = k % 256
            yield frame

    def peak(count):
        tracemalloc.start()
        save_gif(tmp_path / "long.gif", moving(count), 40)
        assert sum(1 for _ in open_gif(tmp_path / "long.gif")) == count
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(2)
    assert peak(150) < peak(50) + 20 * background.nbytes


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("existing", [True, False])
def test_an_interruption_leaves_the_folder_as_it_was(tmp_path, stop, existing):
    def frames():
        yield from (noise((30, 30, 3), seed) for seed in range(3))
        raise stop

    if existing:
        write(tmp_path / "a.gif", b"old")
    with pytest.raises(stop):
        save_gif(tmp_path / "a.gif", frames(), 40)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == ({"a.gif": b"old"} if existing else {})


def test_arrays_of_frames_and_durations(tmp_path):
    for frames in (noise((3, 5, 6, 3)), noise((3, 5, 6))):
        save_gif(tmp_path / "a.gif", frames, np.array([10, 20, 30]))
        gif = open_gif(tmp_path / "a.gif")
        assert gif.durations == (10, 20, 30) and gif.size == (6, 5)


@pytest.mark.parametrize("level", [0, 1])
def test_what_appears_where_nothing_was_shown_is_drawn(tmp_path, level):
    """Even black, which is nearer to what the screen holds there than any colour of the palette."""
    frames = [np.dstack([noise((40, 60, 3)), np.full((40, 60), 255, np.uint8)]) for _ in range(2)]
    frames[0][:20] = 0
    frames[1] = np.dstack([noise((40, 60, 3), 1), np.full((40, 60), 255, np.uint8)])
    frames[1][5:9, 5:9, :3] = level
    save_gif(tmp_path / "a.gif", frames, 40)
    _, back = open_gif(tmp_path / "a.gif")
    assert back.shape[2] == 4 and (back[..., 3] == 255).all()


RGB = np.zeros((2, 2, 3), np.uint8)


@pytest.mark.parametrize(
    "frames, durations, loop, message",
    [
        ([], 40, 0, "there are no frames"),
        ([RGB, np.zeros((2, 3, 3), np.uint8)], 40, 0, "frame 2 is .2, 3, 3., but the first is .2, 2, 3."),
        ([RGB, np.zeros((2, 2, 4), np.uint8)], 40, 0, "expected one shape"),
        ([RGB.astype(float)], 40, 0, "frame 1: expected a uint8 image .* got float64"),
        ([RGB, RGB[0, 0]], 40, 0, r"frame 2: expected a uint8 image .* got uint8 of shape .3,."),
        ([RGB[:0]], 40, 0, r"frame 1: expected a uint8 image .* got uint8 of shape .0, 2, 3."),
        ([RGB.repeat(40000, axis=0)], 40, 0, "frames are 2x80000 pixels, expected at most 65535"),
        ([RGB, RGB], [40], 0, "more frames than the 1 durations"),
        ([RGB], [40, 40], 0, "1 frames but 2 durations"),
        ([RGB], [-10], 0, "-10 ms"),
        ([RGB], 655360, 0, "655360 ms"),
        ([RGB], 40, -1, "loop is -1"),
        ([RGB], 40, 65536, "loop is 65536"),
        ([RGB], 40, 1.5, "loop is 1.5"),
        ([RGB], 40, "0", "loop is '0'"),
        ([RGB], None, 0, "a duration is None"),
        ([RGB], "40", 0, "a duration is '40'"),
        ([RGB], [[40]], 0, r"a duration is .40."),
        ([RGB], float("nan"), 0, "a duration is nan"),
        ([RGB], (40 for _ in range(1)), 0, "a duration is <generator"),
        ([RGB], np.array(40), 0, r"a duration is array\(40\) ms"),
        ([RGB], np.array([[40]]), 0, r"a duration is array\(\[\[40\]\]\) ms"),
        ([RGB], {0: 40}, 0, r"a duration is \{0: 40\} ms"),
        ([RGB], True, 0, "a duration is True ms"),
        ([RGB], ["40"], 0, "a duration is '40' ms"),
        ([RGB], 40, True, "loop is True"),
        (None, 40, 0, "frames are NoneType"),
        (RGB, 40, 0, r"frames are one image of shape \(2, 2, 3\), expected a list of images"),
        (np.dstack([RGB, RGB[..., :1]]), 40, 0, r"frames are one image of shape \(2, 2, 4\)"),
        (RGB[..., 0], 40, 0, r"frames are one image of shape \(2, 2\)"),
    ],
)
def test_invalid_arguments_are_refused(tmp_path, frames, durations, loop, message):
    with pytest.raises(ValueError, match=message):
        save_gif(tmp_path / "a.gif", frames, durations, loop)
    assert not list(tmp_path.iterdir())
