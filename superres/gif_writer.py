"""Animated GIFs, written frame by frame so that a static pixel keeps its colour.

Pillow codes the pixels and finds the palettes; the blocks around them are written here, since Pillow collects all
frames in memory before it saves. Section numbers are those of the GIF89a specification,
https://www.w3.org/Graphics/GIF/spec-gif89a.txt
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise, repeat

import numpy as np
from PIL import Image

from superres.files import atomic_write
from superres.gif_reader import CLEAR, KEEP

TRANSPARENT = 255  # the colour index that save_gif draws nothing with
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
    each = [durations] if np.isscalar(durations) else list(durations)
    if not all(0 <= duration <= LONGEST for duration in each):
        raise ValueError(f"durations run from {min(each)} to {max(each)} ms, expected 0 to {LONGEST}")
    if loop is not None and not 0 <= loop <= 65535:
        raise ValueError(f"loop is {loop}, expected 0 to 65535 or None")
    if np.isscalar(durations):
        delays, count = _delays(repeat(durations)), None
    else:
        delays, count = _delays(each), len(each)
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
        picture = np.full(drawn.shape, TRANSPARENT, np.uint8)
        picture[drawn] = indices
        # Some readers make room for alpha only if the first image announces it.
        transparent = frame.shape[2] == 4 or not drawn[area].all()
        yield _image(picture[area], palette, area, CLEAR if vanishing.any() else KEEP, delay, transparent)
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
    """(n, 3) colours as (n,) indices into a palette made for them.

    Median cut, then k-means until fewer than a twentieth of the pixels still move. No dithering: it
    costs bytes and 3 dB of PSNR, and it flickers.
    """
    if not len(colours):
        return np.zeros(0, np.uint8), np.zeros((1, 3), np.uint8)
    picture = Image.fromarray(colours[np.newaxis]).quantize(
        TRANSPARENT, Image.Quantize.MEDIANCUT, kmeans=1 + len(colours) // 20
    )
    return np.asarray(picture)[0], np.array(picture.getpalette(), np.uint8).reshape(-1, 3)


def _header(height: int, width: int, loop: int | None) -> bytes:
    """Header and screen (sections 17 and 18), and the loop block."""
    # Every image has its own palette. Two black entries are for readers that look up the background colour.
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 128, 0, 0) + bytes(6)
    return screen if loop is None else screen + b"!\xff\x0bNETSCAPE2.0\3\1" + struct.pack("<HB", loop, 0)


def _image(
    picture: np.ndarray, palette: np.ndarray, area: tuple[slice, slice], disposal: int, delay: int, transparent: bool
) -> bytes:
    """Control, descriptor, palette and pixels of one image (sections 23, 20, 21 and 22)."""
    rows, columns = area
    height, width = picture.shape
    bits = max(1, (len(palette) - 1).bit_length())
    return b"".join(
        [
            b"!\xf9\4",
            struct.pack("<BHBB", disposal << 2 | transparent, delay, TRANSPARENT, 0),
            b",",
            struct.pack("<4HB", columns.start, rows.start, width, height, 128 | bits - 1),
            palette.tobytes().ljust(3 << bits, b"\0"),
            b"\x08",
            Image.fromarray(picture).tobytes("gif", "L", 8, False),
            b"\0",
        ]
    )
