"""Clips upscaled x4 frame by frame: only regions that change are recomputed, and flickering noise is averaged."""

import copy
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np
from scipy.ndimage import find_objects, label

from superres import SCALE
from superres.clips.boxes import NOWHERE, Box, bounds, cut_into_strips, enlarged, padded, relative, whole
from superres.clips.reader import Gif
from superres.images.image import check_image, check_whole

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

# Low-resolution pixels that are upscaled at once, and that are merged at once: they bound the memory beyond the result.
UPSCALED_AT_ONCE, MERGED_AT_ONCE = 2**19, 2**14


class Change(NamedTuple):
    """A frame of a clip, and where it differs from the frame before. The next one may come in the same arrays."""

    frame: np.ndarray  # uint8 (h, w, ...)
    box: Box  # holds all changes
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

    Raises ValueError, before anything is upscaled, for frames that are no such images or differ in shape and for a
    context that is no whole number from 0; then if the function makes no uint8 image x4 of a region.

    >>> clip = [np.zeros((12, 16, 3), np.uint8), np.full((12, 16, 3), 255, np.uint8)]
    >>> [frame.shape for frame in upscale_frames(clip, bicubic_upscale)]
    [(48, 64, 3), (48, 64, 3)]
    """
    for change in upscale_changes(frames, upscale_image, context):
        yield change.frame.copy()


def upscale_changes(frames, upscale_image, context=CONTEXT) -> Iterator[Change]:
    """``upscale_frames`` in the memory of one result, each frame with what has changed."""
    check_clip(frames)
    check_whole("context", context, least=0)
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


def check_clip(frames: Iterable[np.ndarray]) -> None:
    """Raise ValueError unless these may be frames: an iterable, and not a single image."""
    if isinstance(frames, np.ndarray) and (frames.ndim < 3 or frames.ndim == 3 and frames.shape[2] in (3, 4)):
        raise ValueError(f"frames are one image of shape {frames.shape}, expected a list of images")
    if not isinstance(frames, Iterable):
        raise ValueError(f"frames are {type(frames).__name__}, expected a list or another iterable of images")


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
    """All of the first frame of a clip."""
    return Change(frame, whole(frame), np.broadcast_to(True, frame.shape[:2]))


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
        # The sum of the results of these frames is count * result + remainder, from -4 to 4. Zeros take no memory until
        # written to.
        self.remainder = np.zeros(self.result.shape, np.int8)
        self.changed, self.box = np.zeros(self.result.shape[:2], bool), NOWHERE  # as in ``Change``
        for box in cut_into_strips(whole(frame), UPSCALED_AT_ONCE):
            self.result[enlarged(box, SCALE)] = self.upscale(box)

    def upscale(self, box):
        """A box of the frame, upscaled with its context. Raises ValueError if the function makes no such image."""
        outer = padded(box, self.context)
        region = np.ascontiguousarray(self.frame[outer])
        height, width, *channels = region.shape
        result, expected = self.upscale_image(region), (SCALE * height, SCALE * width, *channels)
        if not isinstance(result, np.ndarray) or result.dtype != np.uint8 or result.shape != expected:
            made = (
                f"{result.dtype} of shape {result.shape}" if isinstance(result, np.ndarray) else type(result).__name__
            )
            raise ValueError(f"the function made {made} of an image {region.shape}, expected uint8 of shape {expected}")
        return result[enlarged(relative(box, outer), SCALE)]

    def update(self, frame):
        """Go on to the next frame. Returns the change of the result."""
        before, self.frame = self.frame, frame
        changed = differs(frame, before)
        fresh = np.zeros(changed.shape, bool)
        if changed.any():
            window = padded(bounds(changed), DITHER_WINDOW // 2)
            fresh[window] = self.count_changes(window, changed[window])
        self.changed[self.box] = False
        for region in regions(fresh, self.context):
            for box in cut_into_strips(region, UPSCALED_AT_ONCE):
                new = self.upscale(box)
                for part in cut_into_strips(box, MERGED_AT_ONCE):
                    strip = new[enlarged(relative(part, box), SCALE)]
                    self.changed[enlarged(part, SCALE)] = self.merge(part, strip, fresh)
        self.box = enlarged(bounds(fresh), SCALE)
        return Change(self.result, self.box, self.changed[self.box])

    def count_changes(self, window, changed):
        """Count the frame where it changes. Returns the mask of the pixels whose result is to be computed again.

        window: box that holds all changes and what surrounds them.  changed: mask within it.
        """
        frame, mean = self.frame[window], self.mean[window]
        moved = near(changed & ~dithered(changed, frame, mean))
        noisy = near(changed) & ~moved
        count = self.count[window] = np.where(moved, 1, np.minimum(self.count[window] + noisy, AVERAGED + 1))
        counted = moved | noisy & (count <= AVERAGED)
        for strip in cut_into_strips(whole(frame), MERGED_AT_ONCE):
            mean[strip] += (frame[strip] - mean[strip]) * like(counted[strip] / count[strip], frame)
        return moved | counted & ~self.static[window]

    def merge(self, box, new, fresh):
        """Average new results with those since motion, in place, where the mask ``fresh``, bool (h, w), says so.

        Returns the mask of the pixels of the result that change, bool of the size of ``new``.
        """
        count, fresh = (values[box].repeat(SCALE, axis=0).repeat(SCALE, axis=1) for values in (self.count, fresh))
        if new.ndim == 3:
            count, fresh = count[..., np.newaxis], fresh[..., np.newaxis]
        old, remainder = self.result[enlarged(box, SCALE)], self.remainder[enlarged(box, SCALE)]
        if (count > 1).any() or remainder.any():
            total = (count > 1) * ((count - np.float32(1)) * old + remainder) + new
            new = np.rint(total / count)
            np.copyto(remainder, total - count * new, where=fresh, casting="unsafe")
        changed = fresh & (new != old)
        np.copyto(old, new, where=changed, casting="unsafe")
        return any_channel(changed)


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
    for strip in cut_into_strips(whole(frame), MERGED_AT_ONCE):
        outer = padded(strip, MEAN_WINDOW // 2)
        step = np.atleast_3d(cv2.blur(frame[outer] - mean[outer], (MEAN_WINDOW, MEAN_WINDOW)))
        noise[strip] &= (np.abs(step).max(-1) <= MEAN_STEP)[relative(strip, outer)]
    return noise


def near(mask):
    """The mask dilated by ``STATIC_RADIUS`` pixels, bool (h, w)."""
    side = 2 * STATIC_RADIUS + 1
    return cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0


def like(weight, image):
    """A weight per pixel (h, w) as float32 that broadcasts over the channels of an image."""
    return weight.astype(np.float32).reshape(*weight.shape, *[1] * (image.ndim - 2))


def regions(mask, margin):
    """Boxes that together hold the true pixels of a mask (h, w), so far apart that their margins do not touch."""
    boxes, before = find_objects(label(mask)[0]), None
    while len(boxes) != before:
        before, grown = len(boxes), np.zeros(mask.shape, bool)
        for box in boxes:
            grown[padded(box, margin)] = True
        boxes = find_objects(label(grown)[0] * mask)
    return boxes
