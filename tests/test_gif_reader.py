"""Reading GIFs: generated files compared with Pillow and OpenCV, and damaged files."""

import os
import struct
import tracemalloc

import imageio.v2 as imageio
import numpy as np
import pytest
from conftest import mutations
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gifs import PALETTE, noise, opencv_frames, pillow_frames, rgba, write
from superres.clips import reader as gif_reader
from superres.clips.reader import open_gif, read_gif
from superres.clips.writer import save_gif
from superres.images.image import MAX_PIXELS


def build_gif(size, images, loop=None):
    """The bytes of a GIF with any disposal, position, interlacing and palette, which libraries do not write."""
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


# Reading


@given(gif_files(disposals=[0, 1, 2, 3], always_transparent=False))
def test_reads_like_opencv(tmp_path, file):
    """OpenCV composites as browsers do if the first and the last image have a transparent index. Otherwise it fills
    the screen with the background colour (first) or drops alpha (last)."""
    path = write(tmp_path / "a.gif", build_gif(*file))
    frames, durations, loop = read_gif(path)
    theirs, their_durations, plays = opencv_frames(path)
    for ours, their in zip(frames, theirs, strict=True):
        np.testing.assert_array_equal(rgba(ours), their)
    assert durations == their_durations == [image["delay"] * 10 for image in file[1]]
    assert loop == file[2]
    if loop:
        assert plays == loop + 1  # the file counts repeats


@given(gif_files(disposals=[1, 2, 3], always_transparent=True))
def test_reads_like_pillow(tmp_path, file):
    """Pillow agrees if every image specifies its disposal and transparent index. Otherwise it applies the previous
    disposal, and clears to the background colour; see the tests below."""
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
        ([1, 4, 1], ["x..", "xx.", "x.x"]),
    ],
)
@pytest.mark.parametrize("transparent", [None, 1])
def test_disposal_leaves_holes_as_browsers_show_them(tmp_path, disposal, visible, transparent):
    path = write(tmp_path / "a.gif", build_gif((3, 1), dots(0, 1, 2, disposal=disposal, transparent=transparent)))
    frames, _, _ = read_gif(path)
    assert ["".join("x" if alpha else "." for alpha in frame[0, :, 3]) for frame in frames] == visible


def test_frames_are_rgb_unless_a_hole_shows(tmp_path):
    """A transparent index that only keeps the previous frame's pixels does not make frames RGBA."""
    whole = {"indices": np.array([[5, 6, 7]], np.uint8), "disposal": 1, "transparent": 1}
    change = {"indices": np.array([[1, 8, 1]], np.uint8), "disposal": 1, "transparent": 1}
    frames, _, _ = read_gif(write(tmp_path / "a.gif", build_gif((3, 1), [whole, change])))
    np.testing.assert_array_equal(frames, [PALETTE[[[5, 6, 7]]], PALETTE[[[5, 8, 7]]]])


def test_a_control_applies_to_one_image(tmp_path):
    """The second image has none, so no delay, transparency or disposal (section 23)."""
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


def test_a_later_image_over_the_edge_is_cut(tmp_path):
    indices = np.arange(12, dtype=np.uint8).reshape(3, 4)
    images = [{"indices": indices[:2, :2]}, {"indices": indices[::-1]}]
    frames, _, _ = read_gif(write(tmp_path / "a.gif", build_gif((2, 2), images)))
    np.testing.assert_array_equal(frames, [PALETTE[indices[:2, :2]], PALETTE[indices[::-1][:2, :2]]])


@pytest.mark.parametrize("application", [b"NETSCAPE2.0", b"ANIMEXTS1.0"])
def test_the_loop_count_of_either_application(application, tmp_path):
    data = build_gif((1, 1), [{"indices": np.zeros((1, 1), np.uint8)}], loop=7)
    assert open_gif(write(tmp_path / "a.gif", data.replace(b"NETSCAPE2.0", application))).loop == 7


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


def test_every_cut_is_an_error_unless_all_pixels_are_there(tmp_path):
    images = [{"indices": noise((9, 9), seed), "transparent": 3} for seed in range(3)]
    whole, size = build_gif((9, 9), images, loop=0), (9, 9)
    ends = [len(build_gif(size, images[:count], loop=0)) - 1 for count in range(4)]
    frames = read_gif(write(tmp_path / "whole.gif", whole + b"anything after the trailer"))[0]
    for cut in [*range(16), *range(775, len(whole))]:  # not every byte of the palette
        path = write(tmp_path / "cut.gif", whole[:cut])
        count = sum(end <= cut + 1 for end in ends[1:])
        if count and cut - ends[count] in (-1, 0, 1):  # a lone "!" may start any extension
            with pytest.warns(UserWarning, match="cut.gif: read in spite of its missing trailer"):
                np.testing.assert_array_equal(read_gif(path)[0], frames[:count])
        elif cut not in (end - 2 for end in ends[1:]):  # half of the code that ends the pixels
            said = f"cut.gif: frame {count + 1} of the GIF is truncated .* after {count} whole frame"
            with pytest.raises(ValueError, match="cut.gif" if cut < 6 else said):
                open_gif(path)


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_pixels_are_all_there_before_their_end_code_is(cut, tmp_path):
    """The last sub-block is cut as well."""
    data = build_gif((40, 40), [{"indices": noise((40, 40))}])
    with pytest.warns(UserWarning, match="missing trailer"):
        frames, _, _ = read_gif(write(tmp_path / "cut.gif", data[:-cut]))
    np.testing.assert_array_equal(frames, read_gif(write(tmp_path / "a.gif", data))[0])


@pytest.mark.parametrize("before, after", [(b"!\xfe\3abc\0", 6), (b"!", 1), (b"!\xff\x0bNETSCAPE2.0\3\1", 16)])
def test_a_cut_extension_costs_no_frame(before, after, tmp_path):
    data = build_gif((9, 9), [{"indices": noise((9, 9))}])
    with pytest.warns(UserWarning, match="missing trailer"):
        assert len(open_gif(write(tmp_path / "cut.gif", data[:-1] + before[:after]))) == 1


@pytest.mark.parametrize("ending", [b"!\xf9", b"!\xf9\4\0\0\0\0\0"])
def test_a_frame_that_is_announced_and_missing_is_an_error(ending, tmp_path):
    data = build_gif((9, 9), [{"indices": noise((9, 9))}])
    with pytest.raises(ValueError, match="frame 2 of the GIF is truncated or missing: .* after 1 whole frame$"):
        open_gif(write(tmp_path / "cut.gif", data[:-1] + ending))


def test_a_cut_image_without_a_control_block_is_an_error(tmp_path):
    """As those of GIF87a have none."""
    control = b"!\xf9\4" + struct.pack("<BHBB", 0, 4, 0, 0)
    data = build_gif((9, 9), [{"indices": noise((9, 9), seed)} for seed in range(2)]).replace(control, b"")
    assert len(open_gif(write(tmp_path / "whole.gif", data))) == 2
    for cut in (5, 30, 100):
        with pytest.raises(ValueError, match="frame 2 of the GIF is truncated or missing: .* after 1 whole frame$"):
            open_gif(write(tmp_path / "cut.gif", data[:-cut]))


def test_zero_bytes_between_blocks_are_skipped(tmp_path):
    images = [{"indices": noise((9, 9), seed)} for seed in range(2)]
    first, whole = len(build_gif((9, 9), images[:1])) - 1, build_gif((9, 9), images)
    frames, _, _ = read_gif(write(tmp_path / "a.gif", whole))
    for stray in (whole[:first] + b"\0\0" + whole[first:], whole[:-1] + b"\0;", whole[:-1] + b"\0\0"):
        with pytest.warns(UserWarning, match="a.gif: read in spite of stray zero bytes between its blocks") as caught:
            np.testing.assert_array_equal(read_gif(write(tmp_path / "a.gif", stray))[0], frames)
        assert len(caught) == 1


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
    images = [{"indices": noise((2, 2), seed)} for seed in range(2)]
    first, whole = len(build_gif((2, 2), images[:1])) - 1, build_gif((2, 2), images)
    with pytest.raises(ValueError, match=f"a.gif: frame 2 of the GIF is damaged: .* b'g', at byte {first}$"):
        open_gif(write(tmp_path / "a.gif", whole[:first] + b"garbage" + whole[first:]))
    with pytest.raises(ValueError, match="a.gif: frame 1 of the GIF is damaged"):
        open_gif(write(tmp_path / "a.gif", build_gif((2, 2), [])[:-1] + b"garbage;"))
    with pytest.raises(ValueError, match="a.gif: frame 3 of the GIF is damaged"):
        open_gif(write(tmp_path / "a.gif", whole[:-1] + b"!\xf9\4\0\0\0\0\0garbage"))
    for block in (b"!", b","):  # after which a frame may have come
        with pytest.raises(ValueError, match="a.gif: frame 3 of the GIF is damaged"):
            open_gif(write(tmp_path / "a.gif", whole[:-1] + b"garbage" + block))
    with pytest.warns(UserWarning, match="stray bytes in place of its trailer"):
        assert len(open_gif(write(tmp_path / "a.gif", whole[:-1] + b"garbage"))) == 2


@pytest.mark.parametrize(
    "screen, at, shape", [((0, 0), (0, 0), (3, 4)), ((2, 9), (1, 0), (9, 5)), ((0, 3), (0, 2), (5, 4))]
)
def test_a_screen_is_extended_to_hold_the_first_frame(screen, at, shape, tmp_path):
    """As in browsers; later frames are clipped."""
    images = [{"indices": noise((3, 4)), "at": at}, {"indices": noise((1, 1)), "at": (60, 60)}]
    with pytest.warns(UserWarning, match=f"its screen of {screen[0]}x{screen[1]} pixels, smaller than its first frame"):
        frames, _, _ = read_gif(write(tmp_path / "a.gif", build_gif(screen, images)))
    assert [frame.shape[:2] for frame in frames] == [shape] * 2
    np.testing.assert_array_equal(frames[0][at[1] :, at[0] :][:3, :4, :3], PALETTE[noise((3, 4))])


def test_an_index_beyond_the_palette_is_black(tmp_path):
    palette = PALETTE[:2]
    data = build_gif((3, 1), [{"indices": np.array([[1, 2, 255]], np.uint8), "palette": palette, "transparent": 255}])
    descriptor = data.index(b"\x87" + palette.tobytes())  # a table of 2 entries
    path = write(tmp_path / "a.gif", data[:descriptor] + b"\x80" + data[descriptor + 1 :])
    frames, _, _ = read_gif(path)
    np.testing.assert_array_equal(frames[0][0], [[*palette[1], 255], [0, 0, 0, 255], [0, 0, 0, 0]])


@pytest.mark.parametrize(
    "screen, box, count",
    [
        ((65535, 65535), (1, 1), 1),
        ((1, 1), (65535, 65535), 1),
        ((65535, 1), (1, 65535), 1),
        ((1, 1), (65535, 65535), 2),
    ],
)
def test_a_claimed_size_is_refused_before_memory_is_asked_for(screen, box, count, tmp_path):
    data = build_gif(screen, [{"indices": np.zeros((1, 1), np.uint8)}] * count)
    descriptor = data.rindex(b",\0\0\0\0") + 5
    path = write(tmp_path / "bomb.gif", data[:descriptor] + struct.pack("<HH", *box) + data[descriptor + 4 :])
    tracemalloc.start()
    with pytest.raises(ValueError, match="bomb.gif: too large: 65535x65535 pixels, expected at most"):
        open_gif(path)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_one_large_screen_is_no_bomb(tmp_path):
    """However few bytes draw on it."""
    gif = open_gif(write(tmp_path / "a.gif", build_gif((4000, 3000), [{"indices": np.zeros((1, 1), np.uint8)}])))
    assert gif.size == (4000, 3000)


@pytest.mark.parametrize("size, count", [((16384, 16384), 4), ((4000, 4000), 63), ((1, 1), 20000)])
def test_frames_that_claim_too_much_together_are_refused_before_one_is_decoded(size, count, tmp_path, monkeypatch):
    """Each is within the limits, and the file is small."""
    image = {"indices": np.zeros((1, 1), np.uint8)}
    data = build_gif(size, [image] * count)
    if size == (1, 1):  # the images claim more than the screen
        data = data.replace(b",\0\0\0\0\1\0\1\0", b",\0\0\0\0" + struct.pack("<HH", 1000, 1000))
    path = write(tmp_path / "bomb.gif", data)
    monkeypatch.setattr(gif_reader, "decode", None)
    if size == (1, 1):  # the first image extends the screen
        size = 1000, 1000
    said = f"bomb.gif: too large: {count} frames of {size[0]}x{size[1]} pixels in a small file, expected at most"
    with pytest.raises(ValueError, match=said):
        open_gif(path)


def test_the_limit_of_pixels_may_be_lower(tmp_path):
    path = write(tmp_path / "a.gif", build_gif((20, 30), [{"indices": noise((30, 20))}]))
    assert len(open_gif(path, 600)) == 1
    with pytest.raises(ValueError, match="a.gif: too large: 20x30 pixels, expected at most 599 in all"):
        open_gif(path, 599)


def test_long_clips_are_no_bombs(tmp_path):
    """Many frames of a large screen that differ in little, in a file of some size."""
    images = [{"indices": noise((2000, 2000)) % 8}]
    images += [{"indices": noise((9, 9), seed)} for seed in range(99)]
    gif = open_gif(write(tmp_path / "a.gif", build_gif((2000, 2000), images)))
    assert len(gif) * 2000 * 2000 > MAX_PIXELS


def test_a_control_block_of_five_bytes_counts(tmp_path):
    """As for Pillow and ImageMagick, though not by the specification."""
    images = [{"indices": noise((5, 5), seed) % 9, "transparent": 3, "disposal": 2, "delay": 7} for seed in range(2)]
    data = build_gif((5, 5), images)
    expected = read_gif(write(tmp_path / "a.gif", data))
    start = data.index(b"!\xf9\4")
    for size in (5, 6):
        longer = data[: start + 2] + bytes([size]) + data[start + 3 : start + 7] + bytes(size - 4) + data[start + 7 :]
        frames, durations, _ = read_gif(write(tmp_path / "b.gif", longer))
        assert durations == expected[1] == [70, 70]
        np.testing.assert_array_equal(frames, expected[0])


def test_warnings_point_to_the_caller(tmp_path):
    path = write(tmp_path / "cut.gif", build_gif((9, 9), [{"indices": noise((9, 9))}])[:-1])
    for read in (open_gif, read_gif):
        with pytest.warns(UserWarning, match="missing trailer") as caught:
            read(path)
        assert caught[0].filename == __file__


def test_static_pixels_are_those_of_all_frames(tmp_path):
    """Of every disposal, holes included; that is why no frame need be decoded twice."""
    for seed in range(5):
        images = [
            {"indices": noise((6, 7), seed + k)[: 3 + k, : 5 - k] % 3, "at": (k, k % 2), "transparent": 1,
             "disposal": (seed + k) % 5}
            for k in range(4)
        ]  # fmt: skip
        gif = open_gif(write(tmp_path / "a.gif", build_gif((9, 8), images)))
        frames = np.array(list(gif))
        np.testing.assert_array_equal(gif.static, (frames == frames[0]).all((0, 3)))


@pytest.mark.filterwarnings("ignore")
def test_a_damaged_gif_is_read_or_refused_in_one_line(tmp_path):
    originals = []
    for seed in range(8):
        images = [
            {"indices": noise((9, 9), k) % 7, "disposal": (seed + k) % 5, "transparent": 3, "interlaced": seed % 2}
            for k in range(3)
        ]
        originals.append(build_gif((9 + seed % 3, 9), images, loop=0)[: -1 - seed % 2])
    outcomes = set()
    for content in mutations(originals, count=100):
        path = write(tmp_path / "fuzz.gif", content)
        try:
            frames, durations, _ = read_gif(path)
            assert len(frames) == len(durations) and {frame.dtype for frame in frames} == {np.dtype(np.uint8)}
            outcomes.add("read")
        except (ValueError, OSError) as error:
            assert "fuzz.gif" in str(error) and len(str(error).splitlines()) == 1
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_a_file_that_is_not_a_gif_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.gif"):
        open_gif(tmp_path / "none.gif")
    os.mkfifo(tmp_path / "pipe.gif")  # opening it would wait for ever
    for path in (tmp_path, tmp_path / "pipe.gif"):
        with pytest.raises(ValueError, match=f"^{path}: a folder, pipe or device, expected a GIF file$"):
            open_gif(path)
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


@given(gif_files(disposals=[0, 1, 2, 3], always_transparent=False))
def test_reading_and_writing_keeps_a_gif(tmp_path, file):
    first = open_gif(write(tmp_path / "in.gif", build_gif(*file)))
    save_gif(tmp_path / "out.gif", first, first.durations, first.loop)
    second = open_gif(tmp_path / "out.gif")
    assert (second.size, second.durations, second.loop) == (first.size, first.durations, first.loop)
    assert second.transparent == first.transparent
    for before, after in zip(first, second, strict=True):
        np.testing.assert_array_equal(rgba(before)[..., 3], rgba(after)[..., 3])
