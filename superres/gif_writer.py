"""Writing animated GIFs frame by frame; a static pixel keeps its colour.

Pillow encodes the pixels and starts the palettes; the blocks around them are written here, since Pillow collects all
frames in memory before it saves. Section numbers are those of the GIF89a specification,
https://www.w3.org/Graphics/GIF/spec-gif89a.txt
"""

import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise, repeat
from numbers import Integral, Real

import numpy as np
from PIL import Image
from scipy.spatial import KDTree

from superres.files import atomic_write
from superres.gif_reader import CLEAR, KEEP

COLOURS = 255  # most colours in a palette; the next index is the transparent one
SAMPLE = 5000  # approximate number of pixels that the first palette is made from
LONGEST = 65535 * 10  # milliseconds: delays are 16-bit, in hundredths of a second


def save_gif(
    path: str | os.PathLike, frames: Iterable[np.ndarray], durations: int | Sequence[int], loop: int | None = 0
) -> None:
    """Write a GIF; memory use does not grow with the number of frames.

    frames: uint8 images of one shape, RGB (h, w, 3) or RGBA (h, w, 4): a list or an iterator. Alpha is stored as
    opaque (128 and more) or transparent.
    durations: milliseconds, 0 to 655350, one for all frames or one for each. They are rounded to hundredths of a second
    so that errors do not add up.
    loop: 0 forever, n as stored in the loop block, None without one.

    A pixel that is the same in two consecutive frames is the same in the file, except with alpha: then a rectangle in
    which a pixel becomes transparent is drawn again.

    Raises ValueError for other frames, durations or loop counts, and as ``files.atomic_write``. If anything is raised,
    KeyboardInterrupt included, no new file remains and an existing one is unchanged.
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
    """Yield copies of the frames, since a generator may reuse one buffer. Raises ValueError for invalid frames."""
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
    """Milliseconds as hundredths of a second. Rounds the end of each frame, so that errors do not add up."""
    start = elapsed = 0
    for duration in durations:
        elapsed += duration
        end = int((elapsed + 5) // 10)
        yield end - start
        start = end


def _encode(frames: Iterator[np.ndarray], delays: Iterator[int], loop: int | None) -> Iterator[bytes]:
    """Yield the blocks of the file. An image holds the pixels that change, in their bounding box."""
    shown = None
    for (frame, following), delay in zip(pairwise(chain(frames, [None])), delays, strict=False):
        opaque = _opaque(frame)
        if shown is None:
            yield _header(*opaque.shape, loop)
            shown, visible, last = np.zeros_like(frame[..., :3]), np.zeros_like(opaque), frame
        drawn = opaque & (~visible | (frame != last)[..., :3].any(-1))
        true = frame[drawn][:, :3]
        indices, palette = _quantise(true)
        # The colour already on the screen may be nearer to the new one than the palette's nearest.
        better = ~visible[drawn] | (_error(palette[indices], true) < _error(shown[drawn], true))
        drawn[drawn], indices = better, indices[better]
        shown[drawn] = palette[indices]
        visible |= drawn
        vanishing = visible & ~_opaque(following) if following is not None else np.zeros_like(visible)

        area = _bounds(drawn | vanishing)
        image = np.full(drawn.shape, len(palette), np.uint8)
        image[drawn] = indices
        # Some readers give alpha only if the first image has a transparent index.
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
    """Rows and columns of the bounding box of the true pixels; one pixel if there are none."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return slice(0, 1), slice(0, 1)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _quantise(colours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quantise colours, uint8 (n, 3), to indices, uint8 (n,), into a palette, uint8 (m, 3) with m up to ``COLOURS``.

    Maximum coverage of a sample, refined by k-means on all colours. The sample has at least one colour of each occupied
    cell of an 8x8x8 grid over RGB, so that small regions keep their hue. No dithering: it enlarges the file, costs 3 dB
    of PSNR and flickers.
    """
    if not len(colours):
        return np.zeros(0, np.uint8), np.zeros((1, 3), np.uint8)
    codes = colours @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    _, first, indices, counts = np.unique(codes, return_index=True, return_inverse=True, return_counts=True)
    distinct = colours[first]
    if len(distinct) <= COLOURS:
        return indices.astype(np.uint8), distinct
    _, cells = np.unique(distinct // 32 @ np.array([64, 8, 1]), return_index=True)
    sample = np.concatenate([colours[:: 1 + len(colours) // SAMPLE], distinct[cells]])
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
    """Header, screen (sections 17 and 18) and loop block."""
    # Images have palettes of their own; two black entries serve readers that look up the background colour.
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 128, 0, 0) + bytes(6)
    return screen if loop is None else screen + b"!\xff\x0bNETSCAPE2.0\3\1" + struct.pack("<HB", loop, 0)


def _image(
    image: np.ndarray, palette: np.ndarray, area: tuple[slice, slice], disposal: int, delay: int, transparent: bool
) -> bytes:
    """Control block, descriptor, palette and pixels of one image (sections 23, 20, 21 and 22)."""
    rows, columns = area
    height, width = image.shape
    bits = len(palette).bit_length()  # the transparent index included
    code_size = max(2, bits)  # at least 2, even for two colours (appendix F)
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
