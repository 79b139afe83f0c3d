"""Writing animated GIFs frame by frame; a static pixel keeps its colour.

Pillow encodes the pixels; the blocks around them are written here, since Pillow collects all
frames in memory before it saves. Section numbers are those of the GIF89a specification,
https://www.w3.org/Graphics/GIF/spec-gif89a.txt
"""

import functools
import heapq
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from numbers import Integral, Real
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np
from PIL import Image
from scipy.spatial import KDTree

from superres.clips.boxes import NOWHERE, Box, absolute, bounds, cut_into_strips, relative, shape, union, whole
from superres.clips.frames import Change, check_clip, find_changes
from superres.clips.reader import CLEAR, KEEP
from superres.images.files import atomic_write

COLOURS = 255  # most colours in a palette; the next index is the transparent one
LONGEST = 65535 * 10  # milliseconds: delays are 16-bit, in hundredths of a second

EXACT_COLOURS = 2**13  # of more distinct colours, those of one 4x4x4 cell of RGB count as one
CELLS = 64**3
OFF_TIES = 0.1  # grey levels: means of even gradients lie on whole and half levels, where rounding hangs on a pixel

PIXELS_AT_ONCE = 2**19  # so that little memory is needed beside the frames


def save_gif(
    path: str | os.PathLike, frames: Iterable[np.ndarray], durations: int | Sequence[int], loop: int | None = 0
) -> None:
    """Write a GIF; memory use does not grow with the number of frames.

    frames: uint8 images of one shape, grey (h, w), RGB (h, w, 3) or RGBA (h, w, 4): a list or an iterator. Alpha is
    stored as opaque (128 and more) or transparent.
    durations: milliseconds, 0 to 655350, one for all frames or one for each. They are rounded to hundredths of a second
    so that errors do not add up.
    loop: 0 forever, n as stored in the loop block, None without one.

    A pixel that is the same in two consecutive frames is the same in the file, except with alpha: then a rectangle in
    which a pixel becomes transparent is drawn again.

    Raises ValueError for other frames, durations or loop counts, and as ``files.atomic_write``. If anything is raised,
    KeyboardInterrupt included, no new file remains and an existing one is unchanged.

    >>> save_gif("clip.gif", [np.zeros((12, 16, 3), np.uint8), np.full((12, 16, 3), 255, np.uint8)], durations=40)
    >>> len(open_gif("clip.gif"))
    2
    """
    check_clip(frames)
    with atomic_write(path) as file:
        write_changes(file, find_changes(frames), durations, loop)


def write_changes(file: BinaryIO, changes: Iterable[Change], durations, loop, comment: str = "") -> None:
    """``save_gif`` of frames that come with what has changed, as those of ``frames.upscale_changes``, to an open file.

    comment: up to 255 ASCII characters.
    """
    one_each = isinstance(durations, Sequence) and not isinstance(durations, str | bytes)
    one_each |= isinstance(durations, np.ndarray) and durations.ndim == 1
    for duration in durations if one_each else [durations]:
        if not isinstance(duration, Real) or isinstance(duration, bool) or not 0 <= duration <= LONGEST:
            raise ValueError(f"a duration is {duration!r} ms, expected a number from 0 to {LONGEST}, or a list of them")
    if loop is not None and (not isinstance(loop, Integral) or isinstance(loop, bool) or not 0 <= loop <= 65535):
        raise ValueError(f"loop is {loop!r}, expected a whole number from 0 to 65535, or None")
    if one_each:
        changes = counted(changes, len(durations))
    for block in encode(changes, delays(durations if one_each else repeat(durations)), loop, comment):
        file.write(block)


def counted(changes, count):
    """The same changes. Raises ValueError if there are not as many as durations."""
    number = 0
    for number, change in enumerate(changes, start=1):
        if number > count:
            raise ValueError(f"there are more frames than the {count} durations, expected one for each")
        yield change
    if 0 < number < count:
        raise ValueError(f"there are {number} frames but {count} durations, expected one for each")


def delays(durations: Iterable[float]) -> Iterator[int]:
    """Milliseconds as hundredths of a second. Rounds the end of each frame, so that errors do not add up."""
    start = elapsed = 0
    for duration in durations:
        elapsed += duration
        end = int((elapsed + 5) // 10)
        yield end - start
        start = end


def encode(changes: Iterable[Change], delays: Iterator[int], loop: int | None, comment: str) -> Iterator[bytes]:
    """Yield the parts of the file."""
    screen = None
    for change in changes:
        if screen is None:
            height, width = change.frame.shape[:2]
            if max(height, width) > 65535:
                raise ValueError(f"frames are {width}x{height} pixels, expected at most 65535 each way")
            yield header(height, width, loop, comment)
            screen = Screen(change.frame)
        else:
            yield from screen.finish(change)
        screen.draw(change, next(delays))
    if screen is None:
        raise ValueError("there are no frames, expected one at least")
    yield from screen.finish()
    yield b";"


class DrawnImage(NamedTuple):
    """One image of the file: what is drawn for a frame."""

    box: Box  # on the screen
    indices: np.ndarray  # into the palette, uint8; the index after the last colour leaves a pixel as it is
    palette: np.ndarray  # codes, see ``codes_of``
    delay: int  # hundredths of a second


class Screen:
    """What a viewer shows, and the image that is drawn on it next: the pixels that change, in their bounding box.

    An image is encoded once the following frame is known: where that one is transparent, the image is to be cleared.
    """

    def __init__(self, frame):
        height, width, *channels = frame.shape
        self.has_alpha = channels == [4]
        self.shown = np.zeros((height, width, 4 if self.has_alpha else 3), np.uint8)
        self.started = False
        self.cleared = NOWHERE
        self.image = None

    def draw(self, change, delay):
        """Make the image of a frame."""
        box = union(change.box, self.cleared)
        frame, shown, changed = change.frame[box], self.shown[box], change.changed
        if box != change.box:
            changed = np.zeros(shape(box), bool)
            changed[relative(change.box, box)] = change.changed

        def drawn(strip):
            mask = changed[strip] | ~self.visible(shown[strip])
            return mask & (frame[strip][..., 3] >= 128) if self.has_alpha else mask

        strips = [strip for strip in cut_into_strips(whole(shown), PIXELS_AT_ONCE) if drawn(strip).any()]
        quantiser = Quantiser(lambda: (codes_of(frame[strip], drawn(strip)) for strip in strips))
        palette = quantiser.palette
        indices = np.full(shape(box), len(palette), np.uint8)
        for strip in strips:
            mask = drawn(strip)
            true = codes_of(frame[strip], mask)
            index = quantiser.index(true)
            if self.started:
                # The colour already on the screen may be nearer to the new one than the palette's nearest.
                better = distance(palette[index], true) < distance(codes_of(shown[strip], mask), true)
                better |= ~self.visible(shown[strip])[mask]
                mask[mask], index = better, index[better]
            indices[strip][mask] = index
        area = bounds_by_strips(whole(indices), lambda strip: indices[strip] != len(palette))
        if indices.size > PIXELS_AT_ONCE and 2 * np.prod(shape(area)) > indices.size:
            area = whole(indices)  # cut out, it would be copied
        self.image = DrawnImage(absolute(area, box), indices[area], palette, delay)

    def visible(self, shown):
        """Mask of the pixels of a part of the screen where something is shown."""
        return shown[..., 3] > 0 if self.has_alpha else np.broadcast_to(self.started, shown.shape[:2])

    def finish(self, following=None):
        """Yield the parts of the file that draw the image, and show it. ``following`` is the next frame's change."""
        box, indices, palette, delay = self.image
        disposal, self.cleared = KEEP, NOWHERE
        if following:
            self.show()
            vanishing = self.vanishing(following)
            if vanishing != NOWHERE:
                disposal, self.cleared = CLEAR, union(box, absolute(vanishing, following.box))
                self.shown[self.cleared] = 0
                extended = np.full(shape(self.cleared), len(palette), np.uint8)
                extended[relative(box, self.cleared)] = indices
                box, indices = self.cleared, extended
        if not indices.size:
            box, indices = np.s_[0:1, 0:1], np.full((1, 1), len(palette), np.uint8)
        # Some readers give alpha only if the first image has a transparent index.
        transparent = self.has_alpha or indices.max() == len(palette)
        yield from image_blocks(box, indices, palette, disposal, delay, transparent)
        self.image = None

    def show(self):
        """Draw the image on what is shown."""
        box, indices, palette, _ = self.image
        shown = self.shown[box]
        for strip in cut_into_strips(whole(indices), PIXELS_AT_ONCE):
            drawn = indices[strip] < len(palette)
            if drawn.any():
                colours = rgb_of(np.append(palette, 0)[indices[strip]])
                np.copyto(shown[strip][..., :3], colours, where=drawn[..., np.newaxis])
                np.copyto(shown[strip][..., 3:], 255, where=drawn[..., np.newaxis])
        self.started = True

    def vanishing(self, following):
        """The box, within that of the following frame's change, of what is shown now and transparent there."""
        if not self.has_alpha:
            return NOWHERE
        frame, shown = following.frame[following.box], self.shown[following.box]
        return bounds_by_strips(whole(shown), lambda box: self.visible(shown[box]) & (frame[box][..., 3] < 128))


def bounds_by_strips(box, mask):
    """``bounds`` of a mask of which a function makes the part in a box."""
    strips = cut_into_strips(box, PIXELS_AT_ONCE)
    return functools.reduce(union, (absolute(bounds(mask(strip)), strip) for strip in strips), NOWHERE)


class Quantiser:
    """A palette of up to ``COLOURS`` colours for those of an image, and the index into it of each.

    Colours are split into groups, whose means are the palette: it hardly depends on single pixels. Where AVX2 rounds a
    few values of gifs/crossing_srgan.gif otherwise than AVX512, 0.02 % of its pixels change, at 41.9 dB. Of Pillow's
    palettes, 3.5 % change with maximum coverage, at 42.1 dB and in ten times the time, and 3.8 % with median cut; of
    colours rounded to 5 bits 0.4 %, at 40.8 dB, and 0.3 %, in a file 10 % larger. No dithering: it enlarges the file,
    costs 3 dB of PSNR and flickers.

    strips: function that returns an iterator of the image's colours, codes (n,); it is called several times.
    """

    def __init__(self, strips: Callable[[], Iterator[np.ndarray]]):
        self.known = distinct(strips())
        codes = middles_of_cells() if self.known is None else self.known
        counts, sums = np.zeros(len(codes)), np.zeros((3, len(codes)))
        for strip in strips():
            places = self.places(strip)
            counts += np.bincount(places, minlength=len(codes))
            sums += [np.bincount(places, channel, len(codes)) for channel in rgb_of(strip).T]
        used = np.flatnonzero(counts)
        counts, sums = counts[used], sums[:, used].T
        palette = np.zeros((1, 3))
        if len(used):
            palette = np.array(
                [sums[group].sum(0) / counts[group].sum() for group in split(rgb_of(codes[used]), counts)]
            )
        palette = (palette + OFF_TIES).round()
        self.palette = palette.astype(np.uint32) @ np.uint32([1 << 16, 1 << 8, 1])
        self.table = np.zeros(len(codes), np.uint8)
        self.table[used] = KDTree(palette).query(sums / counts[:, np.newaxis])[1]

    def index(self, codes):
        """Which colours of the palette stand for those of the image, codes (n,): uint8 (n,)."""
        return self.table[self.places(codes)]

    def places(self, codes):
        """Where codes are in the table: the numbers of their cells, or of themselves among the known ones."""
        if self.known is None:
            return codes >> 6 & 0x3F000 | codes >> 4 & 0xFC0 | codes >> 2 & 0x3F
        return np.searchsorted(self.known, codes)


def distinct(strips):
    """The distinct codes in ascending order; None if there are more than ``EXACT_COLOURS``."""
    codes = np.zeros(0, np.uint32)
    for strip in strips:
        codes = np.union1d(codes, strip)
        if len(codes) > EXACT_COLOURS:
            return None
    return codes


def split(colours, counts):
    """Divide distinct colours (n, 3), which occur so often, into up to ``COLOURS`` groups: their positions in each.

    The group of the largest variance, times the square root of its count, is divided at its mean until there are enough
    (Linde, Buzo and Gray 1980). With the count itself large smooth areas would take most colours, in larger files.
    """

    def group(members):
        weights, values = counts[members], colours[members]
        mean = np.average(values, axis=0, weights=weights)
        variances = np.average((values - mean) ** 2, axis=0, weights=weights)
        axis = variances.argmax()
        return -variances[axis] * np.sqrt(weights.sum()), members[0], axis, mean[axis] + OFF_TIES, members

    groups = [group(np.arange(len(colours)))]
    while len(groups) < COLOURS and groups[0][0] < 0:
        _, _, axis, mean, members = heapq.heappop(groups)
        values = colours[members, axis]
        low = values <= min(mean, values.max() - 1)
        heapq.heappush(groups, group(members[low]))
        heapq.heappush(groups, group(members[~low]))
    return [members for *_, members in groups]


# A colour's code is the number 0xRRGGBB, uint32.


def codes_of(image, mask):
    """The codes of an image's pixels, uint8 (h, w) or (h, w, 3 or 4), where a mask is true: (n,)."""
    conversion = {1: cv2.COLOR_GRAY2BGRA, 3: cv2.COLOR_RGB2BGRA, 4: cv2.COLOR_RGBA2BGRA}[np.atleast_3d(image).shape[2]]
    return cv2.cvtColor(image, conversion).view("<u4")[..., 0][mask] & 0xFFFFFF


def rgb_of(codes):
    """The colours of codes, (...): uint8 (..., 3)."""
    return codes.astype("<u4")[..., np.newaxis].view(np.uint8)[..., 2::-1]


def middles_of_cells():
    """The codes in the middle of all cells, (``CELLS``,)."""
    cells = np.arange(CELLS, dtype=np.uint32)
    return (cells >> 12) << 18 | (cells >> 6 & 63) << 10 | (cells & 63) << 2 | 0x020202


def distance(codes, others):
    """The squared distances between colours, codes (n,)."""
    difference = cv2.absdiff(codes.view(np.uint8), others.view(np.uint8)).reshape(-1, 4).astype(np.float32)
    return np.einsum("nc,nc->n", difference, difference)


def header(height: int, width: int, loop: int | None, comment: str) -> bytes:
    """Header, screen (sections 17 and 18), comment (24) and loop block."""
    # Images have palettes of their own; two black entries serve readers that look up the background colour.
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 128, 0, 0) + bytes(6)
    if comment:
        screen += b"!\xfe" + bytes([len(comment)]) + comment.encode("ascii") + b"\0"
    return screen if loop is None else screen + b"!\xff\x0bNETSCAPE2.0\3\1" + struct.pack("<HB", loop, 0)


def image_blocks(box, indices, palette, disposal, delay, transparent):
    """Yield control block, descriptor, palette and pixels of one image (sections 23, 20, 21 and 22)."""
    rows, columns = box
    height, width = indices.shape
    bits = len(palette).bit_length()  # the transparent index included
    code_size = max(2, bits)  # at least 2, even for two colours (appendix F)
    yield b"!\xf9\4"
    yield struct.pack("<BHBB", disposal << 2 | transparent, delay, len(palette) if transparent else 0, 0)
    yield b"," + struct.pack("<4HB", columns.start, rows.start, width, height, 128 | bits - 1)
    yield rgb_of(palette).tobytes().ljust(3 << bits, b"\0")
    yield bytes([code_size])
    yield Image.fromarray(indices).tobytes("gif", "L", code_size, False)
    yield b"\0"
