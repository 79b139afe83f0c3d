"""Animated GIFs, written frame by frame so that a static pixel keeps its colour.

Pillow codes the pixels and finds the palettes; the blocks around them are written here, since Pillow collects all
frames in memory before it saves. Section numbers are those of the GIF89a specification,
https://www.w3.org/Graphics/GIF/spec-gif89a.txt
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise, repeat
from numbers import Integral, Real

import numpy as np
from PIL import Image
from scipy.spatial import KDTree

from superres.files import atomic_write
from superres.gif_reader import CLEAR, KEEP

COLOURS = 255  # at most, in a palette: the index after its last colour draws nothing
SAMPLE = 5000  # pixels, about, that a palette starts from
LONGEST = 65535 * 10  # milliseconds: a delay is 16 bits of hundredths of a second


def save_gif(path, frames: Iterable[np.ndarray], durations: int | Sequence[int], loop: int | None = 0) -> None:
    """Write a GIF, drawing each frame from `frames` only when its turn has come.

    frames: uint8 arrays of one shape, RGB (height, width, 3) or RGBA (height, width, 4), of which
    alpha 128 and more becomes 255, less becomes 0.
    durations: milliseconds, 0 to 655350, one per frame or one for all. GIF holds hundredths of a
    second: what rounding takes from one frame it gives to the next, and the total is right to 10 ms.
    loop: 0 forever, n as stored in the loop block, None without one.

    A pixel that does not change from one frame to the next does not change in the file. The
    exception: with alpha, a rectangle in which a pixel turns transparent is drawn anew.

    Raises ValueError for what no GIF can hold. Whatever is raised, KeyboardInterrupt included, no
    unfinished file is left and an older one of the same name stays.
    """
    one_each = isinstance(durations, Sequence | np.ndarray) and not isinstance(durations, str | bytes)
    for duration in durations if one_each else [durations]:
        if not isinstance(duration, Real) or not 0 <= duration <= LONGEST:
            raise ValueError(f"a duration is {duration!r} ms, expected a number from 0 to {LONGEST}, or a list of them")
    if loop is not None and not (isinstance(loop, Integral) and 0 <= loop <= 65535):
        raise ValueError(f"loop is {loop!r}, expected a whole number from 0 to 65535, or None")
    if not isinstance(frames, Iterable):
        raise ValueError(f"frames are {type(frames).__name__}, expected a list or another iterable of arrays")
    delays, count = (_delays(durations), len(durations)) if one_each else (_delays(repeat(durations)), None)
    with atomic_write(path) as file:
        for block in _encode(_checked(frames, count), delays, loop):
            file.write(block)


def _checked(frames: Iterable[np.ndarray], count: int | None) -> Iterator[np.ndarray]:
    """The frames, copied: a generator may fill one buffer again and again."""
    shape, number = None, 0
    for number, frame in enumerate(frames, start=1):
        frame = np.array(frame)
        shape = shape or frame.shape
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] not in (3, 4):
            raise ValueError(
                f"frame {number} is {frame.dtype} {frame.shape}, "
                "expected uint8 (height, width, 3) or (height, width, 4)"
            )
        if frame.shape != shape:
            raise ValueError(f"frame {number} is {frame.shape}, but the first is {shape}: expected one shape")
        if not 1 <= min(shape[:2]) <= max(shape[:2]) <= 65535:
            raise ValueError(f"frames are {shape[1]}x{shape[0]} pixels, expected 1 to 65535 each way")
        if number - 1 == count:
            raise ValueError(f"there are more frames than the {count} durations, expected one for each")
        yield frame
    if not number:
        raise ValueError("there are no frames, expected one at least")
    if count is not None and number < count:
        raise ValueError(f"there are {number} frames but {count} durations, expected one for each")


def _delays(durations: Iterable[float]) -> Iterator[int]:
    """Milliseconds as hundredths of a second. It is the end of each frame that is rounded: errors do not add up."""
    start = elapsed = 0
    for duration in durations:
        elapsed += duration
        end = int((elapsed + 5) // 10)
        yield end - start
        start = end


def _encode(frames: Iterator[np.ndarray], delays: Iterator[int], loop: int | None) -> Iterator[bytes]:
    """The blocks of the file. A frame is the pixels that have to change, in the rectangle around them."""
    shown = None
    for (frame, following), delay in zip(pairwise(chain(frames, [None])), delays, strict=False):
        opaque = _opaque(frame)
        if shown is None:
            yield _header(*opaque.shape, loop)
            shown, visible, last = np.zeros_like(frame[..., :3]), np.zeros_like(opaque), frame
        drawn = opaque & (~visible | (frame != last)[..., :3].any(-1))
        true = frame[drawn][:, :3]
        indices, palette = _quantise(true)
        # A colour already on the screen may be nearer to the new one than any of this frame's palette.
        better = ~visible[drawn] | (_error(palette[indices], true) < _error(shown[drawn], true))
        drawn[drawn], indices = better, indices[better]
        shown[drawn] = palette[indices]
        visible |= drawn
        vanishing = visible & ~_opaque(following) if following is not None else np.zeros_like(visible)

        area = _bounds(drawn | vanishing)
        image = np.full(drawn.shape, len(palette), np.uint8)
        image[drawn] = indices
        # Some readers make room for alpha only if the first image announces it.
        transparent = frame.shape[2] == 4 or not drawn[area].all()
        yield _image(image[area], palette, area, CLEAR if vanishing.any() else KEEP, delay, transparent)
        if vanishing.any():
            visible[area] = False
        last = frame
    yield b";"


def _opaque(frame: np.ndarray) -> np.ndarray:
    return frame[..., 3] >= 128 if frame.shape[2] == 4 else np.ones(frame.shape[:2], bool)


def _error(colours: np.ndarray, true: np.ndarray) -> np.ndarray:
    return np.square(colours - true.astype(np.int32)).sum(-1)


def _bounds(mask: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of the smallest rectangle around what is true; one pixel if nothing is."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return slice(0, 1), slice(0, 1)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _quantise(colours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, 3) colours as (n,) indices into a palette made for them, of at most ``COLOURS``.

    Maximum coverage of a sample, then k-means on all. To the sample belongs one of each 8x8x8 part of the colour space,
    so that no small region of a colour of its own turns grey. No dithering: it costs bytes and 3 dB of PSNR, and it
    flickers.
    """
    if not len(colours):
        return np.zeros(0, np.uint8), np.zeros((1, 3), np.uint8)
    codes = colours @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    _, first, indices, counts = np.unique(codes, return_index=True, return_inverse=True, return_counts=True)
    distinct = colours[first]
    if len(distinct) <= COLOURS:
        return indices.astype(np.uint8), distinct
    _, parts = np.unique(distinct // 32 @ np.array([64, 8, 1]), return_index=True)
    sample = np.concatenate([colours[:: 1 + len(colours) // SAMPLE], distinct[parts]])
    start = Image.fromarray(sample[np.newaxis]).quantize(COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=len(sample) // 100)
    palette = np.array(start.getpalette(), float).reshape(-1, 3)
    for _ in range(4):
        nearest = KDTree(palette).query(distinct)[1]
        weights = np.bincount(nearest, counts, len(palette))
        sums = np.stack([np.bincount(nearest, counts * channel, len(palette)) for channel in distinct.T], axis=1)
        np.divide(sums, weights[:, np.newaxis], out=palette, where=weights[:, np.newaxis] > 0)
    palette = palette.round().astype(np.uint8)
    return KDTree(palette).query(distinct)[1].astype(np.uint8)[indices], palette


def _header(height: int, width: int, loop: int | None) -> bytes:
    """Header and screen (sections 17 and 18), and the loop block."""
    # Every image has its own palette. Two black entries are for readers that look up the background colour.
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 128, 0, 0) + bytes(6)
    return screen if loop is None else screen + b"!\xff\x0bNETSCAPE2.0\3\1" + struct.pack("<HB", loop, 0)


def _image(
    image: np.ndarray, palette: np.ndarray, area: tuple[slice, slice], disposal: int, delay: int, transparent: bool
) -> bytes:
    """Control, descriptor, palette and pixels of one image (sections 23, 20, 21 and 22)."""
    rows, columns = area
    height, width = image.shape
    bits = len(palette).bit_length()  # room for the transparent index as well
    code_size = max(2, bits)  # section 22: 2 even for two colours
    return b"".join(
        [
            b"!\xf9\4",
            struct.pack("<BHBB", disposal << 2 | transparent, delay, len(palette) if transparent else 0, 0),
            b",",
            struct.pack("<4HB", columns.start, rows.start, width, height, 128 | bits - 1),
            palette.tobytes().ljust(3 << bits, b"\0"),
            bytes([code_size]),
            Image.fromarray(image).tobytes("gif", "L", code_size, False),
            b"\0",
        ]
    )
