"""Clips upscaled x4 frame by frame: only regions that change are recomputed, and flickering noise is averaged."""

import copy
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np

from superres import SCALE
from superres.clips.reader import Gif
from superres.images.image import check_image

# Margin around a region that is upscaled, in low-resolution pixels. The generator's receptive-field radius is 40, but
# pixels beyond 16 changed no result by more than one grey level (six images, SRGAN and SRResNet).
CONTEXT = 16

# A change of the input affects the output mostly within this many low-resolution pixels.
STATIC_RADIUS = 2

# A changed pixel counts as noise (such as dither), not motion, if at most DITHER_SHARE of the window around it changed,
# and the local mean is within MEAN_STEP grey levels of the running mean. Tuned on gifs/crossing_lr.gif.
DITHER_WINDOW, DITHER_SHARE = 9, 2 / 3
MEAN_WINDOW, MEAN_STEP = 3, 6

# Results averaged per pixel under noise: more gain little PSNR, and each costs a run of the network.
AVERAGED = 8

BLOCK = 8  # low-resolution pixels: regions are split at multiples of it

# Low-resolution pixels that are upscaled at once, and that are merged at once: they bound the memory beyond the result.
UPSCALED_AT_ONCE, MERGED_AT_ONCE = 2**19, 2**14


class Change(NamedTuple):
    """A frame of a clip, and where it differs from the frame before. The next one may come in the same arrays."""

    frame: np.ndarray  # uint8 (h, w, ...)
    box: tuple[slice, slice]  # the rows and columns that hold all changes
    changed: np.ndarray  # mask of the pixels in the box that have changed, bool


def upscale_frames(
    frames: Iterable[np.ndarray], upscale_image: Callable[[np.ndarray], np.ndarray], context: int = CONTEXT
) -> Iterator[np.ndarray]:
    """Upscale a clip x4, recomputing only what changes from frame to frame.

    frames: uint8 images of one shape, grey (h, w), RGB (h, w, 3) or RGBA (h, w, 4): a list, a ``Gif`` or an iterator.
    A list is read twice; the frames of an iterator are kept in memory.
    upscale_image: function from an image to the image x4; it is called with regions of a frame.
    context: margin around these regions, in low-resolution pixels.

    Yields uint8 (4h, 4w, ...). Within ``STATIC_RADIUS`` low-resolution pixels of motion the result is that of upscaling
    the whole frame, to one grey level if ``context`` is enough. Near noise without motion, the first ``AVERAGED``
    results are averaged and then kept; a pixel that is the same in all frames keeps its first. Elsewhere nothing
    changes.

    Raises ValueError, before anything is upscaled, for frames that are no such images or differ in shape.

    >>> clip = [np.zeros((12, 16, 3), np.uint8), np.full((12, 16, 3), 255, np.uint8)]
    >>> [frame.shape for frame in upscale_frames(clip, bicubic_upscale)]
    [(48, 64, 3), (48, 64, 3)]
    """
    for change in upscale_changes(frames, upscale_image, context):
        yield change.frame.copy()


def upscale_changes(frames, upscale_image, context=CONTEXT) -> Iterator[Change]:
    """``upscale_frames`` in the memory of one result, each frame with what has changed."""
    if not isinstance(frames, Iterable):
        raise ValueError(f"expected frames as a list, a Gif or another iterable, got {type(frames).__name__}")
    if iter(frames) is frames:
        frames = [copy.copy(frame) for frame in frames]  # a generator may fill one buffer again and again
    static = frames.static if isinstance(frames, Gif) else static_pixels(frames)
    clip = None
    for frame in frames:
        if clip is None:
            clip = UpscaledClip(frame, static, upscale_image, context)
            yield first_change(clip.result)
        else:
            yield clip.update(frame)


def find_changes(frames: Iterable[np.ndarray]) -> Iterator[Change]:
    """The frames of a clip, and where they differ. Raises ValueError as ``checked_frames``."""
    last = None
    for frame in checked_frames(frames):
        if last is None:
            last = frame.copy()
            yield first_change(frame)
        else:
            changed = differs(frame, last)
            box = bounds(changed)
            last[box] = frame[box]
            yield Change(frame, box, changed[box])


def first_change(frame):
    return Change(frame, np.s_[0 : frame.shape[0], 0 : frame.shape[1]], np.broadcast_to(True, frame.shape[:2]))


def checked_frames(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The same frames. Raises ValueError, with its number, for one that is no image or not of the first one's shape."""
    shape = None
    for number, frame in enumerate(frames, start=1):
        try:
            check_image(frame)
        except ValueError as error:
            raise ValueError(f"frame {number}: {error}") from None
        shape = shape or frame.shape
        if frame.shape != shape:
            raise ValueError(f"frame {number} is {frame.shape}, but the first is {shape}: expected one shape")
        yield frame


def static_pixels(frames):
    """Mask of the pixels that are the same in all frames, bool (h, w). Raises ValueError as ``checked_frames``."""
    first = static = None
    for frame in checked_frames(frames):
        if first is None:
            first, static = frame, np.ones(frame.shape[:2], bool)
        else:
            static &= ~differs(frame, first)
    return static


class UpscaledClip:
    """A clip's current frame, its result x4, and what the next one's depends on.

    static: mask of the pixels that are the same in all frames, bool (h, w).  The rest is as in ``upscale_frames``.
    """

    def __init__(self, frame, static, upscale_image, context):
        self.frame, self.static, self.upscale_image, self.context = frame, static, upscale_image, context
        height, width, *channels = frame.shape
        self.count = np.ones((height, width), np.uint8)  # of the frames since motion here that changed nearby
        self.mean = frame.astype(np.float32)  # of these frames
        self.result = np.empty((SCALE * height, SCALE * width, *channels), np.uint8)
        # The sum of the results of these frames is count * result + remainder, from -4 to 4: half a byte each. Zeros
        # take no memory until written to.
        self.remainder = np.zeros((SCALE * height, SCALE * width // 2, *channels), np.int8)
        self.changed, self.box = np.zeros(self.result.shape[:2], bool), np.s_[0:0, 0:0]  # as in ``Change``
        for box in cut_rows((0, height, 0, width), UPSCALED_AT_ONCE):
            self.result[enlarged(box)] = self.upscale(box)

    def upscale(self, box):
        """A box of the frame, upscaled with its context."""
        top, bottom, left, right = box
        y, x = max(top - self.context, 0), max(left - self.context, 0)
        region = np.ascontiguousarray(self.frame[y : bottom + self.context, x : right + self.context])
        return self.upscale_image(region)[enlarged((top - y, bottom - y, left - x, right - x))]

    def update(self, frame):
        """Go on to the next frame. Returns the change of the result."""
        before, self.frame = self.frame, frame
        changed = differs(frame, before)
        fresh = np.zeros(changed.shape, bool)
        for window in windows(changed, DITHER_WINDOW // 2):
            fresh[window] = self.count_changes(window, changed[window])
        self.changed[self.box] = False
        for region in cover(fresh, self.context):
            for box in cut_rows(region, UPSCALED_AT_ONCE):
                new = self.upscale(box)
                for part in cut_rows(box, MERGED_AT_ONCE):
                    strip = new[SCALE * (part[0] - box[0]) : SCALE * (part[1] - box[0])]
                    self.changed[enlarged(part)] = self.merge(part, strip, fresh)
        self.box = tuple(slice(SCALE * side.start, SCALE * side.stop) for side in bounds(fresh))
        return Change(self.result, self.box, self.changed[self.box])

    def count_changes(self, window, changed):
        """Count the frame where it changes. Returns the mask of the pixels whose result is to be computed again.

        window: rows and columns that hold all changes and what surrounds them.  changed: mask within it.
        """
        frame, mean = self.frame[window], self.mean[window]
        moved = near(changed & ~dithered(changed, frame, mean))
        noisy = near(changed) & ~moved
        count = self.count[window] = np.where(moved, 1, np.minimum(self.count[window] + noisy, AVERAGED + 1))
        counted = moved | noisy & (count <= AVERAGED)
        for rows in cut_into_strips(*frame.shape[:2], MERGED_AT_ONCE):
            mean[rows] += (frame[rows] - mean[rows]) * like(counted[rows] / count[rows], frame)
        return moved | counted & ~self.static[window]

    def merge(self, box, new, fresh):
        """Average new results with those since motion, in place, where the mask ``fresh``, bool (h, w), says so.

        Returns the mask of the pixels of the result that change, bool of the size of ``new``.
        """
        top, bottom, left, right = box
        count, fresh = (
            values[top:bottom, left:right].repeat(SCALE, axis=0).repeat(SCALE, axis=1) for values in (self.count, fresh)
        )
        if new.ndim == 3:
            count, fresh = count[..., np.newaxis], fresh[..., np.newaxis]
        old, halves = self.result[enlarged(box)], self.remainder[SCALE * top : SCALE * bottom, 2 * left : 2 * right]
        if (count > 1).any() or halves.any():
            remainder = unpack(halves)
            total = (count > 1) * ((count - np.float32(1)) * old + remainder) + new
            new = np.rint(total / count)
            rest = total - count * new
            if (fresh & (rest != remainder)).any():
                halves[:] = pack(np.where(fresh, rest, remainder).astype(np.int8))
        changed = fresh & (new != old)
        np.copyto(old, new, where=changed, casting="unsafe")
        return any_channel(changed)


def enlarged(box):
    """The rows and columns of the result that a box (top, bottom, left, right) of the low resolution becomes."""
    top, bottom, left, right = (SCALE * side for side in box)
    return np.s_[top:bottom, left:right]


def cut_rows(box, area):
    """A box (top, bottom, left, right), cut into boxes of its width that hold about ``area`` pixels at most."""
    top, bottom, left, right = box
    strips = cut_into_strips(bottom - top, right - left, area)
    return [(top + rows.start, min(top + rows.stop, bottom), left, right) for rows in strips]


def cut_into_strips(height, width, area):
    """Slices of rows that hold about ``area`` pixels each."""
    rows = max(area // max(width, 1), 1)
    return [slice(start, start + rows) for start in range(0, height, rows)]


def pack(values):
    """Numbers from -8 to 7, int8 (h, 2w, ...), two to a byte: int8 (h, w, ...)."""
    return values[:, ::2] & 15 | values[:, 1::2] << 4


def unpack(packed):
    """The opposite of ``pack``."""
    pairs = np.stack([packed << 4 >> 4, packed >> 4], axis=2)
    return pairs.reshape(len(packed), -1, *packed.shape[2:])


def bounds(mask):
    """The rows and columns of the bounding box of a mask's true pixels, two slices; empty ones if there are none."""
    sides = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return tuple(slice(side[0], side[-1] + 1) if len(side) else slice(0, 0) for side in sides)


def windows(mask, margin):
    """Boxes that do not overlap and hold all true pixels of a mask (h, w), each with ``margin`` pixels around it."""
    rows = cv2.dilate(mask.any(1, keepdims=True).astype(np.uint8), np.ones((2 * margin + 1, 1), np.uint8))
    edges = np.flatnonzero(np.diff(rows[:, 0], prepend=0, append=0))
    for top, bottom in edges.reshape(-1, 2):
        _, columns = bounds(mask[top:bottom])
        yield np.s_[top:bottom, max(columns.start - margin, 0) : columns.stop + margin]


def differs(image, other):
    """Mask of the pixels that differ in any channel, bool (h, w)."""
    return any_channel(image != other)


def any_channel(mask):
    """Mask (h, w) of the pixels where any channel of a mask, bool (h, w, ...), is true."""
    return functools.reduce(np.logical_or, np.moveaxis(np.atleast_3d(mask), -1, 0))


def dithered(changed, frame, mean):
    """Mask (h, w) of the pixels around which changes are noise, not motion.

    changed: bool (h, w).  frame: uint8 (h, w, ...), and its running mean, float32.
    """
    noise = cv2.blur(changed.astype(np.float32), (DITHER_WINDOW, DITHER_WINDOW)) <= DITHER_SHARE
    for rows in cut_into_strips(*frame.shape[:2], MERGED_AT_ONCE):
        outer = slice(max(rows.start - MEAN_WINDOW // 2, 0), rows.stop + MEAN_WINDOW // 2)
        step = np.atleast_3d(cv2.blur(frame[outer] - mean[outer], (MEAN_WINDOW, MEAN_WINDOW)))
        noise[rows] &= (np.abs(step).max(-1) <= MEAN_STEP)[rows.start - outer.start :][: rows.stop - rows.start]
    return noise


def near(mask):
    """The mask dilated by ``STATIC_RADIUS`` pixels, bool (h, w)."""
    side = 2 * STATIC_RADIUS + 1
    return cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0


def like(weight, image):
    """A weight per pixel (h, w) as float32 that broadcasts over the channels of an image."""
    return weight.astype(np.float32).reshape(*weight.shape, *[1] * (image.ndim - 2))


def cover(mask, margin):
    """Rectangles (top, bottom, left, right) that together cover the true pixels of a mask, bool (h, w).

    Starts from the bounding box and splits it at multiples of ``BLOCK`` pixels while that reduces the total area, in
    which each rectangle counts with ``margin`` pixels around it, clipped to the mask.
    """
    height, width = mask.shape
    rows, columns = (range(0, length, BLOCK) for length in mask.shape)
    blocks = np.logical_or.reduceat(np.logical_or.reduceat(mask, rows, axis=0), columns, axis=1)

    def pixels(top, bottom, left, right):
        return top * BLOCK, min(bottom * BLOCK, height), left * BLOCK, min(right * BLOCK, width)

    def cost(box):
        top, bottom, left, right = pixels(*box)
        padded_height = min(bottom + margin, height) - max(top - margin, 0)
        return padded_height * (min(right + margin, width) - max(left - margin, 0))

    def cut(box):
        top, bottom, left, right = box
        pairs = [((top, y, left, right), (y, bottom, left, right)) for y in range(top + 1, bottom)]
        pairs += [((top, bottom, left, x), (top, bottom, x, right)) for x in range(left + 1, right)]
        pairs = [[bounding_box(blocks, *half) for half in pair] for pair in pairs]
        best = min(pairs, key=lambda pair: sum(map(cost, pair)), default=None)
        if best is None or sum(map(cost, best)) >= cost(box):
            return [bounding_box(mask, *pixels(*box))]
        return [*cut(best[0]), *cut(best[1])]

    return cut(bounding_box(blocks, 0, blocks.shape[0], 0, blocks.shape[1])) if blocks.any() else []


def bounding_box(mask, top, bottom, left, right):
    """The bounding box of the true pixels within a rectangle of a mask (h, w)."""
    rows, columns = bounds(mask[top:bottom, left:right])
    return top + rows.start, top + rows.stop, left + columns.start, left + columns.stop
