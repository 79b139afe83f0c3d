"""Boxes: the rows and columns of a rectangle, as two slices, so that ``image[box]`` is what lies in it."""

import numpy as np

Box = tuple[slice, slice]

NOWHERE = np.s_[0:0, 0:0]


def whole(image: np.ndarray) -> Box:
    """The box of all pixels of an image or mask (h, w, ...)."""
    return np.s_[0 : image.shape[0], 0 : image.shape[1]]


def shape(box: Box) -> tuple[int, int]:
    """Height and width."""
    return tuple(side.stop - side.start for side in box)


def bounds(mask: np.ndarray) -> Box:
    """The smallest box that holds all true pixels of a mask (h, w); ``NOWHERE`` if there are none."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else NOWHERE


def bounds_within(mask: np.ndarray, box: Box) -> Box:
    """``bounds`` of the part of a mask that lies in a box."""
    return absolute(bounds(mask[box]), box)


def union(box: Box, other: Box) -> Box:
    """The smallest box that holds two boxes."""
    if not all(shape(other)):
        return box
    if not all(shape(box)):
        return other
    return tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(box, other, strict=True))


def relative(box: Box, outer: Box) -> Box:
    """A box within another one, in coordinates of that."""
    return tuple(slice(side.start - by.start, side.stop - by.start) for side, by in zip(box, outer, strict=True))


def absolute(box: Box, outer: Box) -> Box:
    """The opposite of ``relative``."""
    return tuple(slice(side.start + by.start, side.stop + by.start) for side, by in zip(box, outer, strict=True))


def enlarged(box: Box, scale: int) -> Box:
    """What a box becomes in an image enlarged ``scale`` times."""
    return tuple(slice(scale * side.start, scale * side.stop) for side in box)


def padded(box: Box, margin: int) -> Box:
    """A box with ``margin`` pixels around it; it may extend beyond the bottom and the right of the image."""
    return tuple(slice(max(side.start - margin, 0), side.stop + margin) for side in box)


def cut_into_strips(box: Box, area: int) -> list[Box]:
    """Boxes of full width, from top to bottom, of about ``area`` pixels at most."""
    rows, columns = box
    step = max(area // max(columns.stop - columns.start, 1), 1)
    return [np.s_[top : min(top + step, rows.stop), columns] for top in range(rows.start, rows.stop, step)]
