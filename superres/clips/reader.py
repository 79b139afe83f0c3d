"""Reading animated GIFs as browsers show them.

Pillow decodes the pixels; the blocks around them are parsed here, since Pillow does not report a file cut between two
frames, and applies one frame's disposal to later frames that specify none. Section numbers are those of the GIF89a
specification, https://www.w3.org/Graphics/GIF/spec-gif89a.txt
"""

import math
import os
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from superres import one_line
from superres.clips.boxes import Box, shape, union, whole
from superres.images.image import MAX_PIXELS, check_size

KEEP, CLEAR, RESTORE = 1, 2, 3  # disposal methods (section 23); 0, unspecified, is treated as KEEP
RESTORE_4 = 4  # reserved, but some encoders write it for RESTORE, and browsers treat it so
# Pixels of all frames together for each byte of the file. LZW codes give up to 2731, but frames may differ in little.
PIXELS_PER_BYTE = 8192
NO_CONTROL = None, 0, 0  # transparent index, disposal and delay of an image without a control block


class GifImage(NamedTuple):
    """One image of the file: its descriptor (section 20), control block (23) and the place of its pixel data (22)."""

    box: Box  # on the screen
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
    static: np.ndarray = field(repr=False, compare=False)  # mask of the pixels that are the same in all frames, (h, w)
    images: tuple[GifImage, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[np.ndarray]:
        for screen, _ in compose(self.path, self.size, self.images):
            rgba = screen.view(np.uint8).reshape(*screen.shape, 4)
            yield rgba.copy() if self.transparent else rgba[..., :3].copy()


def open_gif(path: str | os.PathLike, max_pixels: int = MAX_PIXELS) -> Gif:
    """Check a whole GIF file, decoding every frame once.

    As in browsers, the screen is extended to hold the first frame. Warns if all frames are complete but the file has a
    fault: no trailer, stray bytes between blocks, a screen smaller than the first frame.

    max_pixels: the most for the screen and for each frame. All frames together may have ``image.MAX_PIXELS``, or
    ``PIXELS_PER_BYTE`` for each byte of the file if that is more.

    Raises FileNotFoundError; ValueError, naming the file and the frame, if the file is not a GIF, has no frames, is
    truncated or damaged, or, before anything is decoded, if it claims more pixels.

    >>> save_gif("clip.gif", [np.zeros((12, 16, 3), np.uint8), np.full((12, 16, 3), 255, np.uint8)], durations=40)
    >>> gif = open_gif("clip.gif")
    >>> gif.size, gif.durations, gif.loop, [frame.shape for frame in gif]
    ((16, 12), (40, 40), 0, [(12, 16, 3), (12, 16, 3)])
    """
    return checked_gif(path, max_pixels, stacklevel=3)


def read_gif(path: str | os.PathLike) -> tuple[list[np.ndarray], list[int], int | None]:
    """The frames, durations in milliseconds and loop count of a GIF, as in ``Gif``. Raises as ``open_gif``.

    >>> save_gif("clip.gif", [np.zeros((12, 16, 3), np.uint8), np.full((12, 16, 3), 255, np.uint8)], durations=40)
    >>> frames, durations, loop = read_gif("clip.gif")
    >>> len(frames), durations, loop
    (2, [40, 40], 0)
    """
    gif = checked_gif(path, MAX_PIXELS, stacklevel=3)
    return list(gif), list(gif.durations), gif.loop


def checked_gif(path, max_pixels, stacklevel):
    """``open_gif``, whose warnings are attributed to the caller ``stacklevel`` functions up."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: no such GIF file")
    if not os.path.isfile(path):
        raise ValueError(f"{path}: a folder, pipe or device, expected a GIF file")
    with open(path, "rb") as file:
        size, loop, images, faults = scan(file, max_pixels)
        check_claim(file, size, images)
    if faults:
        warnings.warn(f"{path}: read in spite of {', '.join(dict.fromkeys(faults))}", stacklevel=stacklevel)
    static, transparent, first = np.ones(size[::-1], bool), False, None
    for screen, box in compose(path, size, images):
        transparent |= not screen[box].all()
        if first is not None:
            static[box] &= screen[box] == first[box]
        elif len(images) > 1:
            first = screen.copy()
    return Gif(path, size, tuple(10 * image.delay for image in images), loop, transparent, static, tuple(images))


def check_claim(file, size, images):
    """Raise ValueError if all frames together have more pixels than ``open_gif`` allows for a file of this size."""
    screen = size[0] * size[1]
    claimed = sum(max(screen, math.prod(shape(image.box))) for image in images)
    most = max(MAX_PIXELS, PIXELS_PER_BYTE * os.fstat(file.fileno()).st_size)
    if claimed > most:
        frames = f"{len(images)} frames of {size[0]}x{size[1]} pixels"
        raise ValueError(f"{file.name}: too large: {frames} in a small file, expected at most {most:,} pixels in all")


def compose(path, size, images):
    """Decode the frames. Yields the screen, RGBA packed in uint32 (h, w), 0 where it is transparent, and a box of it.

    The screen is one array, drawn on from frame to frame; it differs from the frame before only within the box, rows
    and columns; that of the first frame is the whole screen.
    """
    screen = np.zeros(size[::-1], np.uint32)
    disposed = whole(screen)
    with open(path, "rb") as file:
        for number, image in enumerate(images, start=1):
            try:
                pixels = decode(file, image)
            except ValueError as error:
                raise ValueError(f"{path}: frame {number} of the GIF is damaged: {error}") from error
            area = screen[image.box]
            pixels = pixels[: area.shape[0], : area.shape[1]]  # an image may extend beyond the screen
            before = area.copy() if image.disposal in (RESTORE, RESTORE_4) else None
            np.copyto(area, pixels, where=pixels != 0)
            del pixels  # memory for whoever takes the screen
            yield screen, union(image.box, disposed)
            disposed = image.box
            if image.disposal == CLEAR:
                area[:] = 0  # transparent, as in browsers, not the specification's background colour
            elif before is not None:
                area[:] = before


def scan(file: BinaryIO, max_pixels: int) -> tuple[tuple[int, int], int | None, list[GifImage], list[str]]:
    """Parse the blocks (appendix B) up to the trailer. Returns (width, height), loop, images and faults as text."""
    signature = file.read(6)
    if not signature:
        raise ValueError(f"{file.name} is empty, expected a GIF")
    if signature not in (b"GIF87a", b"GIF89a"):
        raise ValueError(f"{file.name} is not a GIF: it starts with {signature!r}, expected b'GIF87a' or b'GIF89a'")
    size, found = (0, 0), Found()
    try:
        *size, flags = struct.unpack("<HHB2x", take(file, 7))
        check_size(file.name, *size, max_pixels)
        palette = take_palette(file, flags)
        while take_block(file, palette, max_pixels, found):
            pass
    except EOFError:
        if found.misses_image:
            count = len(found.images)
            raise ValueError(
                f"{file.name}: frame {count + 1} of the GIF is truncated or missing: "
                f"the file ends at byte {file.tell()}, after {count} whole frame{'s' * (count != 1)}"
            ) from None
        found.faults.append("its missing trailer")
    size = extended_screen(size, found)
    check_size(file.name, *size, max_pixels)
    if not found.images or not all(size):
        raise ValueError(
            f"{file.name} has no frames to show: it holds {len(found.images)} of {size[0]}x{size[1]} pixels"
        )
    return size, found.loop, found.images, found.faults


@dataclass
class Found:
    """What the blocks of a file have said so far."""

    images: list[GifImage] = field(default_factory=list)
    loop: int | None = None
    control: tuple[int | None, int, int] | None = None  # of the image that comes next
    faults: list[str] = field(default_factory=list)

    @property
    def misses_image(self):
        """Whether a file that ends here lacks an image: one was announced, or there is none."""
        return self.control is not None or not self.images


def take_block(file: BinaryIO, palette: bytes, max_pixels: int, found: Found) -> bool:
    """Read a block. Returns whether another one follows."""
    match introducer := take(file, 1):
        case b"!":
            take_extension(file, found)
        case b",":
            found.control = found.control or NO_CONTROL
            found.images.append(take_image(file, palette, found.control, max_pixels))
            found.control = None
        case b"\0":
            found.faults.append("stray zero bytes between its blocks")
        case b";":
            return False
        case _:
            position, rest = file.tell() - 1, file.read()
            if found.misses_image or b"," in rest or b"!" in rest:  # a frame may be lost
                raise ValueError(
                    f"{file.name}: frame {len(found.images) + 1} of the GIF is damaged: "
                    f"no block starts with {introducer!r}, at byte {position}"
                )
            found.faults.append("stray bytes in place of its trailer")
            return False
    return True


def take_extension(file: BinaryIO, found: Found) -> None:
    """Read the control block of the next image (section 23), the loop block, or another extension."""
    label = take(file, 1)
    if label == b"\xf9":
        found.control = NO_CONTROL  # an image is announced, even if the file ends here
    data = take_sub_blocks(file)
    if label == b"\xf9" and len(data) >= 6:  # some encoders write a byte more than the specification
        flags, delay, index = struct.unpack_from("<xBHB", data)
        found.control = index if flags & 1 else None, flags >> 2 & 7, delay
    elif label == b"\xff" and data[1:14] in (b"NETSCAPE2.0\3\1", b"ANIMEXTS1.0\3\1"):
        (found.loop,) = struct.unpack_from("<H", data, 14)


def take_image(
    file: BinaryIO, global_palette: bytes, control: tuple[int | None, int, int], max_pixels: int
) -> GifImage:
    """Read a descriptor, its palette and the extent of its pixel data (sections 20 to 22)."""
    left, top, width, height, flags = struct.unpack("<4HB", take(file, 9))
    check_size(file.name, width, height, max_pixels)
    box = np.s_[top : top + height, left : left + width]
    palette = take_palette(file, flags) or global_palette
    coding = take(file, 1)[0], bool(flags & 64)
    offset = file.tell()
    try:
        take_sub_blocks(file)
        is_cut = False
    except EOFError:
        is_cut = True
    image = GifImage(box, palette, *control, coding, offset, file.tell() - offset)
    if is_cut:
        try:
            decode(file, image)  # the pixels may be complete without the end of the data
        except ValueError:
            raise EOFError from None
    return image


def extended_screen(size: tuple[int, int], found: Found) -> tuple[int, int]:
    """The screen's width and height, or more where the first image needs more."""
    width, height = size
    if not found.images:
        return width, height
    rows, columns = found.images[0].box
    extended = max(width, columns.stop), max(height, rows.stop)
    if extended != (width, height):
        found.faults.append(f"its screen of {width}x{height} pixels, smaller than its first frame")
    return extended


def take(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise EOFError
    return data


def take_palette(file: BinaryIO, flags: int) -> bytes:
    return take(file, 3 * (2 << (flags & 7))) if flags & 128 else b""


def take_sub_blocks(file: BinaryIO) -> bytes:
    """Sub-blocks (section 15) with their length bytes, up to and including the empty one."""
    data = bytearray()
    while size := take(file, 1)[0]:
        data += bytes([size]) + take(file, size)
    return bytes(data) + b"\0"


def decode(file: BinaryIO, image: GifImage) -> np.ndarray:
    """One image alone, RGBA packed in uint32 (h, w), alpha 0 or 255. Raises ValueError if its pixel data is damaged."""
    colours = np.frombuffer(image.palette, np.uint8).reshape(-1, 3)
    table = np.full((256, 4), (0, 0, 0, 255), np.uint8)  # an index beyond the palette is black
    table[: len(colours), :3] = colours
    if image.transparent is not None:
        table[image.transparent] = 0
    file.seek(image.offset)
    data = shorten_last_sub_block(file.read(image.length))
    try:
        indices = Image.frombytes("L", shape(image.box)[::-1], data, "gif", *image.coding)
    except Exception as error:  # Pillow's decoders raise exceptions of many types
        raise ValueError(one_line(error)) from error
    return table.view(np.uint32)[:, 0][indices]


def shorten_last_sub_block(data: bytes) -> bytes:
    """Sub-blocks, the last one's length byte corrected if the file ends within it."""
    start = end = 0
    while end < len(data):
        start, end = end, end + 1 + data[end]
    return data if end == len(data) else data[:start] + bytes([len(data) - start - 1]) + data[start + 1 :]
