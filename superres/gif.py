"""Animated GIFs, read as a viewer shows them and written so that what stands still stays still.

Pillow codes and decodes the pixels and finds the palettes. The blocks around them are read and
written here: Pillow ends quietly at a cut between two frames, lets one frame's disposal run on into
frames that name none, and collects all frames in memory before it saves.

Section numbers are those of the GIF89a specification, https://www.w3.org/Graphics/GIF/spec-gif89a.txt
"""

import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, pairwise, repeat
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from superres.files import replacing

KEEP, CLEAR, RESTORE = 1, 2, 3  # disposal methods (section 23); 0, unspecified, keeps as well
TRANSPARENT = 255  # the colour index that save_gif draws nothing with
LONGEST = 65535 * 10  # milliseconds: a delay is 16 bits of hundredths of a second


class _Image(NamedTuple):
    """An image of the file (section 20), the control that applies to it (23), where its pixels are (22)."""

    box: tuple[int, int, int, int]  # left, top, width, height on the screen
    palette: bytes
    transparent: int | None
    disposal: int
    delay: int  # hundredths of a second
    coding: tuple[int, bool]  # LZW minimum code size, interlaced
    offset: int
    length: int


@dataclass(frozen=True)
class Gif:
    """A GIF file found whole by `open_gif`. Iterating decodes one frame at a time, as often as wanted.

    A frame is the full screen, uint8: RGB (height, width, 3), or in a `transparent` file RGBA
    (height, width, 4) with alpha 0 or 255.
    """

    path: str | os.PathLike
    size: tuple[int, int]  # width, height
    durations: tuple[int, ...]  # milliseconds, as stored: viewers show 0 for longer
    loop: int | None  # as Pillow's: 0 forever, n as stored, None without a loop block
    transparent: bool  # whether nothing shows at some pixel of some frame
    _images: tuple[_Image, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[np.ndarray]:
        width, height = self.size
        canvas = np.zeros((height, width, 4), np.uint8)
        with open(self.path, "rb") as file:
            for number, image in enumerate(self._images, start=1):
                try:
                    picture = _decode(file, image)
                except ValueError as error:
                    raise ValueError(f"{self.path}: frame {number} of the GIF is damaged: {error}") from error
                left, top, width, height = image.box
                area = canvas[top : top + height, left : left + width]
                picture = picture[: area.shape[0], : area.shape[1]]  # an image may overhang the screen
                before = area.copy()
                np.copyto(area, picture, where=picture[..., 3:] > 0)
                yield canvas.copy() if self.transparent else canvas[..., :3].copy()
                if image.disposal == CLEAR:
                    area[:] = 0  # to nothing, as browsers do, not to the specification's background colour
                elif image.disposal == RESTORE:
                    area[:] = before


def open_gif(path) -> Gif:
    """Check a GIF from its first byte to its trailer, decoding every frame once, and give access to it.

    Raises FileNotFoundError; or ValueError, naming the file and the frame, if the file is no GIF,
    has no frames, or is truncated or damaged.
    """
    with open(path, "rb") as file:
        size, loop, images = _scan(file)
    gif = Gif(path, size, tuple(10 * image.delay for image in images), loop, True, tuple(images))
    holes = [not frame[..., 3].all() for frame in gif]  # a list, so that no frame goes unchecked
    return replace(gif, transparent=any(holes))


def read_gif(path) -> tuple[list[np.ndarray], list[int], int | None]:
    """Every frame, every duration in milliseconds, and the loop count, as `Gif` has them."""
    gif = open_gif(path)
    return list(gif), list(gif.durations), gif.loop


def _scan(file: BinaryIO) -> tuple[tuple[int, int], int | None, list[_Image]]:
    """Walk the blocks (appendix B) to the trailer: screen size, loop count, images."""
    signature = file.read(6)
    if not signature:
        raise ValueError(f"{file.name} is empty, expected a GIF")
    if signature not in (b"GIF87a", b"GIF89a"):
        raise ValueError(f"{file.name} is not a GIF: it starts with {signature!r}, expected b'GIF87a' or b'GIF89a'")
    images, loop, control = [], None, (None, 0, 0)
    try:
        width, height, flags = struct.unpack("<HHB2x", _take(file, 7))
        global_palette = _take_palette(file, flags)
        while (introducer := _take(file, 1)) != b";":
            if introducer == b"!":
                label, data = _take(file, 1), _take_sub_blocks(file)
                if label == b"\xf9" and len(data) == 6:
                    flags, delay, index = struct.unpack("<xBHBx", data)
                    control = index if flags & 1 else None, flags >> 2 & 7, delay
                elif label == b"\xff" and data[1:14] in (b"NETSCAPE2.0\3\1", b"ANIMEXTS1.0\3\1"):
                    (loop,) = struct.unpack_from("<H", data, 14)
            elif introducer == b",":
                *box, flags = struct.unpack("<4HB", _take(file, 9))
                palette = _take_palette(file, flags) or global_palette
                coding = _take(file, 1)[0], bool(flags & 64)
                offset = file.tell()
                images.append(_Image(tuple(box), palette, *control, coding, offset, len(_take_sub_blocks(file))))
                control = None, 0, 0
            else:
                raise ValueError(
                    f"{file.name}: frame {len(images) + 1} of the GIF is damaged: "
                    f"no block starts with {introducer!r}, at byte {file.tell() - 1}"
                )
    except EOFError:
        raise ValueError(
            f"{file.name}: frame {len(images) + 1} of the GIF is truncated or missing: "
            f"the file ends at byte {file.tell()}, before a GIF's trailer"
        ) from None
    if not images or not width or not height:
        raise ValueError(f"{file.name} has no frames to show: it holds {len(images)} of {width}x{height} pixels")
    return (width, height), loop, images


def _take(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise EOFError
    return data


def _take_palette(file: BinaryIO, flags: int) -> bytes:
    return _take(file, 3 * (2 << (flags & 7))) if flags & 128 else b""


def _take_sub_blocks(file: BinaryIO) -> bytes:
    """Sub-blocks (section 15) with their length bytes, up to the empty one and with it."""
    data = bytearray()
    while size := _take(file, 1)[0]:
        data += bytes([size]) + _take(file, size)
    return bytes(data) + b"\0"


def _decode(file: BinaryIO, image: _Image) -> np.ndarray:
    """The image alone: RGBA uint8 (height, width, 4), alpha 0 where it draws nothing."""
    colours = np.frombuffer(image.palette, np.uint8).reshape(-1, 3)
    table = np.zeros((256, 4), np.uint8)  # an index without a colour draws nothing
    table[: len(colours)] = np.insert(colours, 3, 255, axis=1)
    if image.transparent is not None:
        table[image.transparent] = 0
    file.seek(image.offset)
    return table[Image.frombytes("L", image.box[2:], file.read(image.length), "gif", *image.coding)]


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
    with replacing(path) as file:
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
