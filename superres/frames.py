"""A clip x4, frame by frame: the network runs where something moves, and what only flickers comes to rest."""

import copy
from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np

from superres import SCALE
from superres.files import check

# Low-resolution pixels around a region that it is upscaled with. The receptive-field radius of the generator is 40, but
# what lies beyond 16 changed no result by more than one grey level: six images, with SRGAN and with SRResNet.
CONTEXT = 16

# Nearly all that a change does to the output lies within so many low-resolution pixels of it.
STATIC_RADIUS = 2

# A pixel that changes counts as dither or noise, not motion, where a good part of those around it stay exactly as they
# are, and the mean around it stays what it was, in grey levels. Chosen on gifs/crossing_lr.gif against its original.
DITHER_WINDOW, DITHER_SHARE = 9, 2 / 3
MEAN_WINDOW, MEAN_STEP = 3, 6

# Results that are averaged where nothing moves: more gain little PSNR, and each costs a run of the network.
AVERAGED = 8

BLOCK = 8  # low-resolution pixels: where regions may be cut apart


def upscale_frames(
    frames: Iterable[np.ndarray], upscale_image: Callable[[np.ndarray], np.ndarray], context: int = CONTEXT
) -> Iterator[np.ndarray]:
    """Yield the frames of a clip x4, upscaled only where something changes; static pixels stay static.

    frames: uint8 images of one shape, RGB (h, w, 3), RGBA (h, w, 4) or grey (h, w): a list, a ``Gif``, or an iterator,
    whose frames are held in memory, since they are gone through twice. No frames give none.
    upscale_image: image to image, x4, called with regions of a frame.
    context: low-resolution pixels around a region that its result depends on.

    Within ``STATIC_RADIUS`` low-resolution pixels of motion, a pixel is that of the frame upscaled whole, to a grey
    level. Elsewhere nothing changes, but that where the input's dither or noise flickers, the first ``AVERAGED``
    results are averaged and then kept. A pixel that is the same in all frames keeps its first result.

    Raises ValueError, before anything is upscaled, for other arrays or frames of different shapes.
    """
    if not isinstance(frames, Iterable):
        raise ValueError(f"expected frames as a list, a Gif or another iterable, got {type(frames).__name__}")
    if iter(frames) is frames:
        frames = [copy.copy(frame) for frame in frames]  # a generator may fill one buffer again and again
    static = never_changing(frames)
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
            weight[static] = 0
            for top, bottom, left, right in cover(weight > 0, context):
                y, x = max(top - context, 0), max(left - context, 0)
                region = upscale_image(np.ascontiguousarray(frame[y : bottom + context, x : right + context]))
                new = region[SCALE * (top - y) : SCALE * (bottom - y), SCALE * (left - x) : SCALE * (right - x)]
                old = result[SCALE * top : SCALE * bottom, SCALE * left : SCALE * right]
                share = weight[top:bottom, left:right].repeat(SCALE, axis=0).repeat(SCALE, axis=1)
                old += (new - old) * like(share, old)
        yield np.rint(result).astype(np.uint8)
        before = frame


def never_changing(frames):
    """Where all frames have the same colour: bool (h, w), or None without frames. Raises ValueError for bad frames."""
    first = static = None
    for number, frame in enumerate(frames, start=1):
        try:
            check(frame)
        except ValueError as error:
            raise ValueError(f"frame {number}: {error}") from None
        if first is None:
            first, static = frame, np.ones(frame.shape[:2], bool)
        if frame.shape != first.shape:
            raise ValueError(f"frame {number} is {frame.shape}, but the first is {first.shape}: expected one shape")
        static &= ~differs(frame, first)
    return static


def differs(image, other):
    """Where two images differ in any channel: bool (h, w)."""
    return np.atleast_3d(image != other).any(-1)


def dithered(changed, drift):
    """Where changes are dither or noise, by where a frame changed (h, w) and how far it is from the mean."""
    share = cv2.blur(changed.astype(np.float32), (DITHER_WINDOW, DITHER_WINDOW))
    step = np.atleast_3d(cv2.blur(drift, (MEAN_WINDOW, MEAN_WINDOW)))
    return (share <= DITHER_SHARE) & (np.abs(step).max(-1) <= MEAN_STEP)


def near(mask):
    """Where something within ``STATIC_RADIUS`` pixels is true: bool (h, w)."""
    side = 2 * STATIC_RADIUS + 1
    return cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0


def like(weight, image):
    """A weight per pixel (h, w), as float32 that multiplies all channels of an image."""
    return weight.astype(np.float32).reshape(*weight.shape, *[1] * (image.ndim - 2))


def cover(mask, margin):
    """Rectangles (top, bottom, left, right) that hold all that is true in a mask (h, w), few or many.

    They are cut apart, at multiples of ``BLOCK`` pixels, as long as their areas, each grown by ``margin`` within the
    mask, add up to less.
    """
    height, width = mask.shape
    rows, columns = (range(0, length, BLOCK) for length in mask.shape)
    blocks = np.logical_or.reduceat(np.logical_or.reduceat(mask, rows, axis=0), columns, axis=1)

    def pixels(top, bottom, left, right):
        return top * BLOCK, min(bottom * BLOCK, height), left * BLOCK, min(right * BLOCK, width)

    def cost(box):
        top, bottom, left, right = pixels(*box)
        grown_height = min(bottom + margin, height) - max(top - margin, 0)
        return grown_height * (min(right + margin, width) - max(left - margin, 0))

    def cut(box):
        top, bottom, left, right = box
        pairs = [((top, y, left, right), (y, bottom, left, right)) for y in range(top + 1, bottom)]
        pairs += [((top, bottom, left, x), (top, bottom, x, right)) for x in range(left + 1, right)]
        pairs = [[shrunk(blocks, *half) for half in pair] for pair in pairs]
        best = min(pairs, key=lambda pair: sum(map(cost, pair)), default=None)
        if best is None or sum(map(cost, best)) >= cost(box):
            return [shrunk(mask, *pixels(*box))]
        return [*cut(best[0]), *cut(best[1])]

    return cut(shrunk(blocks, 0, blocks.shape[0], 0, blocks.shape[1])) if blocks.any() else []


def shrunk(mask, top, bottom, left, right):
    """The smallest rectangle around what is true within one of a mask (h, w)."""
    rows, columns = (np.flatnonzero(mask[top:bottom, left:right].any(axis)) for axis in (1, 0))
    return top + rows[0], top + rows[-1] + 1, left + columns[0], left + columns[-1] + 1
