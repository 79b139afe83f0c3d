"""GIFs against Pillow's and OpenCV's reading of generated files, and against damage."""

import struct

import cv2
import imageio.v2 as imageio
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


# Reading


@quick
@given(gif_files(disposals=[0, 1, 2, 3], always_transparent=False))
def test_reads_like_opencv(tmp_path, file):
    """OpenCV composites as browsers do where the first and the last image announce transparency. Without
    the first it fills the screen with the background colour, and without the last it drops the alpha;
    browsers show nothing where nothing was drawn: see the test of holes."""
    path = write(tmp_path / "a.gif", build_gif(*file))
    frames, durations, loop = read_gif(path)
    theirs, their_durations, plays = opencv_frames(path)
    for ours, their in zip(frames, theirs, strict=True):
        np.testing.assert_array_equal(rgba(ours), their)
    assert durations == their_durations == [image["delay"] * 10 for image in file[1]]
    assert loop == file[2]
    if loop:
        assert plays == loop + 1  # the file counts repeats


@quick
@given(gif_files(disposals=[1, 2, 3], always_transparent=True))
def test_reads_like_pillow(tmp_path, file):
    """Pillow agrees where every image names its disposal and its transparent colour. Otherwise it
    lets the previous disposal run on, and clears to the background colour; see the tests below."""
    path = write(tmp_path / "a.gif", build_gif(*file))
    frames, durations, loop = read_gif(path)
    theirs = pillow_frames(path)
    for ours, their in zip(frames, theirs, strict=True):
        np.testing.assert_array_equal(rgba(ours), their)
    with Image.open(path) as image:
        assert loop == image.info.get("loop")
        assert durations[0] == image.info["duration"]


def dots(*places, disposal, transparent=None):
    """Images of one pixel each, colour 5, on a screen of 3x1."""
    return [
        {
            "indices": np.full((1, 1), 5, np.uint8),
            "at": (place, 0),
            "disposal": disposal[number],
            "transparent": transparent,
        }
        for number, place in enumerate(places)
    ]


@pytest.mark.parametrize(
    "disposal, visible",
    [
        ([0, 0, 0], ["x..", "xx.", "xxx"]),
        ([1, 1, 1], ["x..", "xx.", "xxx"]),
        ([2, 2, 2], ["x..", ".x.", "..x"]),
        ([3, 3, 3], ["x..", ".x.", "..x"]),
        ([2, 0, 1], ["x..", ".x.", ".xx"]),  # Pillow disposes of the second image like the first
        ([1, 3, 1], ["x..", "xx.", "x.x"]),
    ],
)
@pytest.mark.parametrize("transparent", [None, 1])
def test_disposal_leaves_holes_as_browsers_show_them(tmp_path, disposal, visible, transparent):
    path = write(tmp_path / "a.gif", build_gif((3, 1), dots(0, 1, 2, disposal=disposal, transparent=transparent)))
    frames, _, _ = read_gif(path)
    assert ["".join("x" if alpha else "." for alpha in frame[0, :, 3]) for frame in frames] == visible


def test_frames_are_rgb_unless_a_hole_shows(tmp_path):
    """A transparent colour that only leaves the last frame's pixels in place makes no RGBA."""
    whole = {"indices": np.array([[5, 6, 7]], np.uint8), "disposal": 1, "transparent": 1}
    change = {"indices": np.array([[1, 8, 1]], np.uint8), "disposal": 1, "transparent": 1}
    frames, _, _ = read_gif(write(tmp_path / "a.gif", build_gif((3, 1), [whole, change])))
    np.testing.assert_array_equal(frames, [PALETTE[[[5, 6, 7]]], PALETTE[[[5, 8, 7]]]])


def test_a_control_applies_to_one_image(tmp_path):
    """The second image brings none: no delay, no transparency, no disposal (section 23)."""
    data = build_gif(
        (1, 1),
        [
            {"indices": np.array([[5]], np.uint8), "disposal": 2, "transparent": 6, "delay": 9},
            {"indices": np.array([[6]], np.uint8)},
            {"indices": np.array([[7]], np.uint8), "transparent": 7},
        ],
    )
    second_control = data.index(b"!\xf9", data.index(b"!\xf9") + 1)
    data = data[:second_control] + data[second_control + 8 :]
    frames, durations, _ = read_gif(write(tmp_path / "a.gif", data))
    np.testing.assert_array_equal(frames, PALETTE[[[[5]], [[6]], [[6]]]])
    assert durations == [90, 0, 40]


def test_image_over_the_edge_is_cut(tmp_path):
    indices = np.arange(12, dtype=np.uint8).reshape(3, 4)
    frames, _, _ = read_gif(write(tmp_path / "a.gif", build_gif((2, 2), [{"indices": indices}])))
    np.testing.assert_array_equal(frames[0], PALETTE[indices[:2, :2]])


def test_open_gif_is_lazy_and_repeats(tmp_path):
    path = tmp_path / "a.gif"
    save_gif(path, [noise((6, 9, 3), seed) // 32 * 32 for seed in range(3)], [10, 20, 30], 4)
    gif = open_gif(path)
    assert (len(gif), gif.size, gif.durations, gif.loop, gif.transparent) == (3, (9, 6), (10, 20, 30), 4, False)
    np.testing.assert_array_equal(list(gif), list(gif))
    np.testing.assert_array_equal(next(iter(gif)), read_gif(path)[0][0])
    kept = iter(gif)
    first = next(kept)
    copy = first.copy()
    next(kept)
    np.testing.assert_array_equal(first, copy)


def test_reads_what_imageio_and_pillow_write(tmp_path):
    frames = [noise((24, 32, 3), seed) for seed in range(4)]
    for name, save in [
        ("imageio", lambda path: imageio.mimsave(path, frames, duration=70, loop=2)),
        (
            "pillow",
            lambda path: Image.fromarray(frames[0]).save(
                path, save_all=True, append_images=map(Image.fromarray, frames[1:]), duration=70, loop=2
            ),
        ),
    ]:
        path = tmp_path / f"{name}.gif"
        save(path)
        ours, durations, loop = read_gif(path)
        np.testing.assert_array_equal([rgba(frame) for frame in ours], pillow_frames(path))
        assert (durations, loop) == ([70] * 4, 2)


# Damage


def test_every_cut_is_an_error_that_names_the_frame(tmp_path):
    images = [{"indices": noise((9, 9), seed), "transparent": 3} for seed in range(3)]
    whole, size = build_gif((9, 9), images, loop=0), (9, 9)
    ends = [len(build_gif(size, images[:count], loop=0)) - 1 for count in range(4)]
    for cut in range(len(whole)):
        frame = sum(end <= cut for end in ends[1:]) + 1
        with pytest.raises(
            ValueError, match="cut.gif" if cut < 6 else f"cut.gif: frame {frame} of the GIF is truncated"
        ):
            open_gif(write(tmp_path / "cut.gif", whole[:cut]))
    assert len(read_gif(write(tmp_path / "whole.gif", whole + b"garbage after the trailer"))[0]) == 3


@pytest.mark.parametrize("kept", [0, 1, 40])
def test_cut_pixel_data_is_an_error(tmp_path, kept):
    """The block structure is whole, the second image's pixels are not."""
    images = [{"indices": noise((9, 9), seed)} for seed in range(2)]
    start = len(build_gif((9, 9), images[:1])) - 1 + 8 + 10 + 1
    data = build_gif((9, 9), images)
    data = data[:start] + (bytes([kept]) + data[start + 1 : start + 1 + kept] if kept else b"") + b"\0;"
    with pytest.raises(ValueError, match="a.gif: frame 2 of the GIF is damaged"):
        open_gif(write(tmp_path / "a.gif", data))


def test_garbage_between_blocks_is_an_error(tmp_path):
    data = build_gif((2, 2), [{"indices": noise((2, 2))}])
    with pytest.raises(ValueError, match="a.gif: frame 2 of the GIF is damaged"):
        open_gif(write(tmp_path / "a.gif", data[:-1] + b"garbage;"))


def test_what_is_no_gif(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.gif"):
        open_gif(tmp_path / "none.gif")
    with pytest.raises(ValueError, match="empty.gif is empty"):
        open_gif(write(tmp_path / "empty.gif", b""))
    with pytest.raises(ValueError, match="zero.gif has no frames"):
        open_gif(write(tmp_path / "zero.gif", build_gif((2, 2), [])))
    images = [Image.fromarray(noise((8, 8, 3), seed)) for seed in range(2)]
    for name in ("a.png", "a.webp"):
        images[0].save(tmp_path / name, save_all=True, append_images=images[1:])
        with pytest.raises(ValueError, match=f"{name} is not a GIF"):
            open_gif(tmp_path / name)


# Written again


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
