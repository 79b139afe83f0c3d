"""Reading animated GIFs as browsers show them.

Pillow decodes the pixels; the blocks around them are parsed here, since Pillow does not report a file cut between two
frames, and applies one frame's disposal to later frames that specify none. Section numbers are those of the GIF89a
specification, https://www.w3.org/Graphics/GIF/spec-gif89a.txt
"""

import os
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from superres import one_line
from superres.image import check_size

KEEP, CLEAR, RESTORE = 1, 2, 3  # disposal methods (section 23); 0, unspecified, is treated as KEEP
RESTORE_4 = 4  # reserved, but some encoders write it for RESTORE, and browsers treat it so
NO_CONTROL = None, 0, 0  # transparent index, disposal and delay of an image without a control block


class _Image(NamedTuple):
    """One image of the file: its descriptor (section 20), control block (23) and the place of its pixel data (22)."""

    box: tuple[int, int, int, int]  # left, top, width, height on the screen
    palette: bytes
    transparent: int | None
    disposal: int
    delay: int  # hundredths of a second
    coding: tuple[int, bool]  # LZW minimum code size, interlaced
    offset: int  # of the pixel data in the file, and its length, in bytes
    length: int


@dataclass(frozen=True)
class Gif:
    """A GIF file that ``open_gif`` has checked. Every iteration decodes it again, one frame at a time.

    Frames are the full screen, uint8: RGB (h, w, 3), or RGBA (h, w, 4) with alpha 0 or 255 if ``transparent``.
    """

    path: str | os.PathLike
    size: tuple[int, int]  # width, height
    durations: tuple[int, ...]  # milliseconds, as stored; viewers show a frame of 0 ms for longer
    loop: int | None  # 0 forever, n as stored in the loop block, None without one
    transparent: bool  # whether any pixel of any frame is transparent
    _images: tuple[_Image, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[np.ndarray]:
        width, height = self.size
        canvas = np.zeros((height, width, 4), np.uint8)
        with open(self.path, "rb") as file:
            for number, image in enumerate(self._images, start=1):
                try:
                    pixels = _decode(file, image)
                except ValueError as error:
                    raise ValueError(f"{self.path}: frame {number} of the GIF is damaged: {error}") from error
                left, top, width, height = image.box
                area = canvas[top : top + height, left : left + width]
                pixels = pixels[: area.shape[0], : area.shape[1]]  # an image may extend beyond the screen
                before = area.copy()
                np.copyto(area, pixels, where=pixels[..., 3:] > 0)
                yield canvas.copy() if self.transparent else canvas[..., :3].copy()
                if image.disposal == CLEAR:
                    area[:] = 0  # transparent, as in browsers, not the specification's background colour
                elif image.disposal in (RESTORE, RESTORE_4):
                    area[:] = before


def open_gif(path: str | os.PathLike) -> Gif:
    """Check a whole GIF file, decoding every frame once.

    As in browsers, the screen is extended to hold the first frame. Warns if all frames are complete but the file has a
    fault: no trailer, stray bytes between blocks, a screen smaller than the first frame.

    Raises FileNotFoundError; ValueError, naming the file and the frame, if the file is not a GIF, has no frames, is
    truncated or damaged, or if its screen or a frame exceeds ``image.MAX_PIXELS``.
    """
    with open(path, "rb") as file:
        size, loop, images, faults = _scan(file)
    if faults:
        warnings.warn(f"{path}: read in spite of {', '.join(dict.fromkeys(faults))}", stacklevel=2)
    gif = Gif(path, size, tuple(10 * image.delay for image in images), loop, True, tuple(images))
    transparent = [not frame[..., 3].all() for frame in gif]  # a list: any() alone would not decode every frame
    return replace(gif, transparent=any(transparent))


def read_gif(path: str | os.PathLike) -> tuple[list[np.ndarray], list[int], int | None]:
    """The frames, durations in milliseconds and loop count of a GIF, as in ``Gif``. Raises as ``open_gif``."""
    gif = open_gif(path)
    return list(gif), list(gif.durations), gif.loop


def _scan(file: BinaryIO) -> tuple[tuple[int, int], int | None, list[_Image], list[str]]:
    """Parse the blocks (appendix B) up to the trailer. Returns (width, height), loop, images and faults as text."""
    signature = file.read(6)
    if not signature:
        raise ValueError(f"{file.name} is empty, expected a GIF")
    if signature not in (b"GIF87a", b"GIF89a"):
        raise ValueError(f"{file.name} is not a GIF: it starts with {signature!r}, expected b'GIF87a' or b'GIF89a'")
    images, loop, control, faults = [], None, None, []
    try:
        width, height, flags = struct.unpack("<HHB2x", _take(file, 7))
        check_size(file.name, width, height)
        global_palette = _take_palette(file, flags)
        while (introducer := _take(file, 1)) != b";":
            if introducer == b"!":
                label = _take(file, 1)
                if label == b"\xf9":
                    control = NO_CONTROL  # a frame is announced, even if the file ends here
                data = _take_sub_blocks(file)
                if label == b"\xf9" and len(data) == 6:
                    flags, delay, index = struct.unpack("<xBHBx", data)
                    control = index if flags & 1 else None, flags >> 2 & 7, delay
                elif label == b"\xff" and data[1:14] in (b"NETSCAPE2.0\3\1", b"ANIMEXTS1.0\3\1"):
                    (loop,) = struct.unpack_from("<H", data, 14)
            elif introducer == b",":
                control = control or NO_CONTROL
                images.append(_take_image(file, global_palette, control))
                control = None
            elif introducer == b"\0":
                faults.append("stray zero bytes between its blocks")
            else:
                position, rest = file.tell() - 1, file.read()
                if control or not images or b"," in rest or b"!" in rest:  # a frame may be lost
                    raise ValueError(
                        f"{file.name}: frame {len(images) + 1} of the GIF is damaged: "
                        f"no block starts with {introducer!r}, at byte {position}"
                    )
                faults.append("stray bytes in place of its trailer")
                break
    except EOFError:
        if control or not images:
            raise ValueError(
                f"{file.name}: frame {len(images) + 1} of the GIF is truncated or missing: "
                f"the file ends at byte {file.tell()}, after {len(images)} whole frame{'s' * (len(images) != 1)}"
            ) from None
        faults.append("its missing trailer")
    if images:
        left, top, *first = images[0].box
        extended = max(width, left + first[0]), max(height, top + first[1])
        if extended != (width, height):
            faults.append(f"its screen of {width}x{height} pixels, smaller than its first frame")
        width, height = extended
        check_size(file.name, width, height)
    if not images or not width or not height:
        raise ValueError(f"{file.name} has no frames to show: it holds {len(images)} of {width}x{height} pixels")
    return (width, height), loop, images, faults


def _take_image(file: BinaryIO, global_palette: bytes, control: tuple[int | None, int, int]) -> _Image:
    *box, flags = struct.unpack("<4HB", _take(file, 9))
    check_size(file.name, *box[2:])
    palette = _take_palette(file, flags) or global_palette
    coding = _take(file, 1)[0], bool(flags & 64)
    offset = file.tell()
    try:
        _take_sub_blocks(file)
    except EOFError:
        image = _Image(tuple(box), palette, *control, coding, offset, file.tell() - offset)
        try:
            _decode(file, image)  # the pixels may be complete without the end of the data
        except ValueError:
            raise EOFError from None
        return image
    return _Image(tuple(box), palette, *control, coding, offset, file.tell() - offset)


def _take(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise EOFError
    return data


def _take_palette(file: BinaryIO, flags: int) -> bytes:
    return _take(file, 3 * (2 << (flags & 7))) if flags & 128 else b""


def _take_sub_blocks(file: BinaryIO) -> bytes:
    """Sub-blocks (section 15) with their length bytes, up to and including the empty one."""
    data = bytearray()
    while size := _take(file, 1)[0]:
        data += bytes([size]) + _take(file, size)
    return bytes(data) + b"\0"


def _decode(file: BinaryIO, image: _Image) -> np.ndarray:
    """One image alone: uint8 RGBA (h, w, 4), alpha 0 or 255. Raises ValueError if its pixel data is damaged."""
    colours = np.frombuffer(image.palette, np.uint8).reshape(-1, 3)
    table = np.full((256, 4), (0, 0, 0, 255), np.uint8)  # an index beyond the palette is black
    table[: len(colours), :3] = colours
    if image.transparent is not None:
        table[image.transparent] = 0
    file.seek(image.offset)
    data = _shorten_last_sub_block(file.read(image.length))
    try:
        return table[Image.frombytes("L", image.box[2:], data, "gif", *image.coding)]
    except Exception as error:  # Pillow's decoders raise exceptions of many types
        raise ValueError(one_line(error)) from error


def _shorten_last_sub_block(data: bytes) -> bytes:
    """Sub-blocks, the last one's length byte corrected if the file ends within it."""
    start = end = 0
    while end < len(data):
        start, end = end, end + 1 + data[end]
    return data if end == len(data) else data[:start] + bytes([len(data) - start - 1]) + data[start + 1 :]
