"""Clips upscaled x4 frame by frame: only regions that change are recomputed, and flickering noise is averaged."""

import copy
from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np

from superres import SCALE
from superres.image import check_image

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


def upscale_frames(
    frames: Iterable[np.ndarray], upscale_image: Callable[[np.ndarray], np.ndarray], context: int = CONTEXT
) -> Iterator[np.ndarray]:
    """Upscale a clip x4, recomputing only what changes from frame to frame.

    frames: uint8 images of one shape, grey (h, w), RGB (h, w, 3) or RGBA (h, w, 4): a list, a ``Gif`` or an iterator.
    They are read twice, so those of an iterator are kept in memory.
    upscale_image: function from an image to the image x4; it is called with regions of a frame.
    context: margin around these regions, in low-resolution pixels.

    Yields uint8 (4h, 4w, ...). Within ``STATIC_RADIUS`` low-resolution pixels of motion the result is that of upscaling
    the whole frame, to one grey level if ``context`` is enough. Near noise without motion, the first ``AVERAGED``
    results are averaged and then kept; a pixel that is the same in all frames keeps its first. Elsewhere nothing
    changes.

    Raises ValueError, before anything is upscaled, for frames that are no such images or differ in shape.
    """
    if not isinstance(frames, Iterable):
        raise ValueError(f"expected frames as a list, a Gif or another iterable, got {type(frames).__name__}")
    if iter(frames) is frames:
        frames = [copy.copy(frame) for frame in frames]  # a generator may fill one buffer again and again
    static = static_pixels(frames)
    before = None
    for frame in frames:
        if before is None:
            result = upscale_image(frame).astype(np.float32)
            mean = frame.astype(np.float32)
            count = np.ones(frame.shape[:2], np.float32)
        else:
            changed = differs(frame, before)
            moved = near(changed & ~dithered(changed, frame - mean))
            count = np.where(moved, 1, count + near(changed))
            weight = (moved | (near(changed) & (count <= AVERAGED))) / count
            mean += (frame - mean) * like(weight, frame)
            weight[static & ~moved] = 0
            for top, bottom, left, right in cover(weight > 0, context):
                y, x = max(top - context, 0), max(left - context, 0)
                region = upscale_image(np.ascontiguousarray(frame[y : bottom + context, x : right + context]))
                new = region[SCALE * (top - y) : SCALE * (bottom - y), SCALE * (left - x) : SCALE * (right - x)]
                old = result[SCALE * top : SCALE * bottom, SCALE * left : SCALE * right]
                share = weight[top:bottom, left:right].repeat(SCALE, axis=0).repeat(SCALE, axis=1)
                old += (new - old) * like(share, old)
        yield np.rint(result).astype(np.uint8)
        before = frame


def static_pixels(frames):
    """Mask of the pixels that are the same in all frames, bool (h, w). Raises ValueError for invalid frames."""
    first = static = None
    for number, frame in enumerate(frames, start=1):
        try:
            check_image(frame)
        except ValueError as error:
            raise ValueError(f"frame {number}: {error}") from None
        if first is None:
            first, static = frame, np.ones(frame.shape[:2], bool)
        if frame.shape != first.shape:
            raise ValueError(f"frame {number} is {frame.shape}, but the first is {first.shape}: expected one shape")
        static &= ~differs(frame, first)
    return static


def differs(image, other):
    """Mask of the pixels that differ in any channel, bool (h, w)."""
    return np.atleast_3d(image != other).any(-1)


def dithered(changed, drift):
    """Mask (h, w) of the pixels around which changes are noise, not motion.

    changed: bool (h, w).  drift: the frame's difference from its running mean in grey levels, float32 (h, w, ...).
    """
    share = cv2.blur(changed.astype(np.float32), (DITHER_WINDOW, DITHER_WINDOW))
    step = np.atleast_3d(cv2.blur(drift, (MEAN_WINDOW, MEAN_WINDOW)))
    return (share <= DITHER_SHARE) & (np.abs(step).max(-1) <= MEAN_STEP)


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
    rows, columns = (np.flatnonzero(mask[top:bottom, left:right].any(axis)) for axis in (1, 0))
    return top + rows[0], top + rows[-1] + 1, left + columns[0], left + columns[-1] + 1
