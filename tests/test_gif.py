"""GIFs written, against our own, Pillow's and OpenCV's reading."""

import struct
import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence

from superres.gif_reader import open_gif, read_gif
from superres.gif_writer import save_gif

PALETTE = np.random.default_rng(0).permutation(256**3)[:256].astype("<u4").view(np.uint8).reshape(-1, 4)[:, :3].copy()
quick = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def build_gif(size, images, loop=None):
    """The bytes of a GIF with any disposal, place, interlacing and palette, as no library would write it."""
    parts = [b"GIF89a", struct.pack("<HHBBB", *size, 0x87, 0, 0), PALETTE.tobytes()]
    if loop is not None:
        parts.append(b"!\xff\x0bNETSCAPE2.0\3\1" + struct.pack("<HB", loop, 0))
    for image in images:
        indices, transparent = image["indices"], image.get("transparent")
        height, width = indices.shape
        local, interlaced = image.get("palette"), image.get("interlaced", False)
        parts += [
            b"!\xf9\4",
            struct.pack(
                "<BHBB",
                image.get("disposal", 0) << 2 | (transparent is not None),
                image.get("delay", 4),
                transparent or 0,
                0,
            ),
            b",",
            struct.pack(
                "<4HB", *image.get("at", (0, 0)), width, height, (0x87 if local is not None else 0) | interlaced << 6
            ),
            b"" if local is None else local.tobytes(),
            b"\x08",
            Image.fromarray(indices).tobytes("gif", "L", 8, interlaced),
            b"\0",
        ]
    return b"".join(parts) + b";"


@st.composite
def gif_files(draw, disposals, always_transparent):
    """(width, height), images, loop. The first and last image always announce transparency: see the tests."""
    width, height, count = draw(st.integers(1, 64)), draw(st.integers(1, 64)), draw(st.integers(1, 12))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    images = []
    for number in range(count):
        x, y = random.integers(width), random.integers(height)
        box = random.integers(1, height - y + 1), random.integers(1, width - x + 1)
        images.append(
            {
                "indices": random.integers(0, draw(st.sampled_from([2, 9, 256])), box, dtype=np.uint8),
                "at": (x, y),
                "transparent": 1 if number in (0, count - 1) or always_transparent or draw(st.booleans()) else None,
                "disposal": draw(st.sampled_from(disposals)),
                "delay": draw(st.integers(0, 50)),
                "interlaced": draw(st.booleans()),
                "palette": random.permutation(PALETTE) if draw(st.booleans()) else None,
            }
        )
    return (width, height), images, draw(st.sampled_from([None, 0, 1, 7, 65535]))


@st.composite
def clips(draw):
    """Frames of few colours, with static parts and perhaps holes, their durations and loop."""
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


def rgba(frame):
    """RGBA with alpha 0 or 255 and nothing under alpha 0: what a GIF can tell apart."""
    if frame.shape[2] == 3:
        return np.dstack([frame, np.full(frame.shape[:2], 255, np.uint8)])
    visible = frame[..., 3:] >= 128
    return np.where(visible, np.dstack([frame[..., :3], np.full(frame.shape[:2], 255, np.uint8)]), 0)


def pillow_frames(path):
    with Image.open(path) as image:
        return [rgba(np.asarray(frame.convert("RGBA"))) for frame in ImageSequence.Iterator(image)]


def opencv_frames(path):
    """Frames as RGBA, durations in milliseconds, number of plays."""
    _, animation = cv2.imreadanimation(str(path))
    swapped = [frame[..., [2, 1, 0, 3][: frame.shape[2]]] for frame in animation.frames]
    return [rgba(frame) for frame in swapped], list(animation.durations), animation.loop_count


def write(path, data):
    path.write_bytes(data)
    return path


def noise(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


# Writing


@quick
@given(clips())
def test_round_trip(tmp_path, clip):
    """Few enough colours for the palettes: everything comes back, in our reading and in Pillow's."""
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


@quick
@given(gif_files(disposals=[0, 1, 2, 3], always_transparent=False))
def test_reading_and_writing_keeps_a_gif(tmp_path, file):
    first = open_gif(write(tmp_path / "in.gif", build_gif(*file)))
    save_gif(tmp_path / "out.gif", first, first.durations, first.loop)
    second = open_gif(tmp_path / "out.gif")
    assert (second.size, second.durations, second.loop) == (first.size, first.durations, first.loop)
    assert second.transparent == first.transparent
    for before, after in zip(first, second, strict=True):
        np.testing.assert_array_equal(rgba(before)[..., 3], rgba(after)[..., 3])


def test_still_pixels_stay_in_a_file_of_many_colours(tmp_path):
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


def test_palette_is_nearer_than_median_cut(tmp_path):
    frame = np.random.default_rng(0).normal(128, 30, (64, 64, 3)).clip(0, 255).astype(np.uint8)
    save_gif(tmp_path / "a.gif", [frame], 0)
    [back], _, _ = read_gif(tmp_path / "a.gif")
    median_cut = np.asarray(Image.fromarray(frame).quantize(255).convert("RGB"))
    assert cv2.PSNR(frame, back) > cv2.PSNR(frame, median_cut) + 0.5


def test_a_noisy_frame_is_drawn_where_that_brings_it_nearer(tmp_path):
    """Each pixel has the better of the colour on the screen and one of the new palette."""
    frames = [noise((40, 60, 3)) // 2 + noise((40, 60, 3), seed) // 64 for seed in range(4)]
    save_gif(tmp_path / "a.gif", frames, 40)
    back, _, _ = read_gif(tmp_path / "a.gif")
    for k in range(1, 4):
        error, if_kept = (np.square(back[j].astype(int) - frames[k]).sum(-1) for j in (k, k - 1))
        assert (error <= if_kept).all()


def test_a_generator_may_reuse_its_buffer(tmp_path):
    def filling():
        buffer = np.empty((4, 4, 3), np.uint8)
        for level in (0, 100, 200):
            buffer[:] = level
            yield buffer

    save_gif(tmp_path / "a.gif", filling(), 40)
    assert [frame.max() for frame in open_gif(tmp_path / "a.gif")] == [0, 100, 200]


def test_500_frames_need_the_memory_of_50(tmp_path):
    background = noise((120, 160, 3))

    def moving(count):
        for k in range(count):
            frame = background.copy()
            frame[k % 100 : k % 100 + 20, k % 140 : k % 140 + 20] = k % 256
            yield frame

    def peak(count):
        tracemalloc.start()
        save_gif(tmp_path / "long.gif", moving(count), 40)
        assert sum(1 for _ in open_gif(tmp_path / "long.gif")) == count
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(2)
    assert peak(500) < peak(50) + 20 * background.nbytes


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


RGB = np.zeros((2, 2, 3), np.uint8)


@pytest.mark.parametrize(
    "frames, durations, loop, message",
    [
        ([], 40, 0, "there are no frames"),
        ([RGB, np.zeros((2, 3, 3), np.uint8)], 40, 0, "frame 2 is .2, 3, 3., but the first is .2, 2, 3."),
        ([RGB, np.zeros((2, 2, 4), np.uint8)], 40, 0, "expected one shape"),
        ([RGB.astype(float)], 40, 0, "frame 1 is float64"),
        ([RGB[..., 0]], 40, 0, "frame 1 is uint8 .2, 2."),
        ([RGB[:0]], 40, 0, "frames are 2x0 pixels"),
        ([RGB, RGB], [40], 0, "more frames than the 1 durations"),
        ([RGB], [40, 40], 0, "1 frames but 2 durations"),
        ([RGB], [-10], 0, "-10 ms"),
        ([RGB], 655360, 0, "655360 ms"),
        ([RGB], 40, -1, "loop is -1"),
    ],
)
def test_what_no_gif_can_hold(tmp_path, frames, durations, loop, message):
    with pytest.raises(ValueError, match=message):
        save_gif(tmp_path / "a.gif", frames, durations, loop)
    assert not list(tmp_path.iterdir())
