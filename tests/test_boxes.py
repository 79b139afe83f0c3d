"""Boxes, against the pixels that they hold."""

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from superres.clips.boxes import NOWHERE, bounds, cut_into_strips, padded, shape, union

SIDES = st.tuples(st.integers(0, 9), st.integers(0, 9)).map(sorted).map(lambda ends: slice(*ends))
BOXES = st.tuples(SIDES, SIDES)


def pixels(*boxes):
    """Mask of the pixels in boxes, bool (20, 20)."""
    mask = np.zeros((20, 20), bool)
    for box in boxes:
        mask[box] = True
    return mask


@given(BOXES, BOXES)
def test_union_is_the_bounds_of_both(box, other):
    """Also where one of them has no rows, or no columns."""
    np.testing.assert_array_equal(pixels(union(box, other)), pixels(bounds(pixels(box, other))))
    assert union(NOWHERE, box) == box or not all(shape(box))


@given(BOXES, st.integers(1, 40))
def test_strips_are_a_box_and_hold_no_more_than_asked_for(box, area):
    strips = cut_into_strips(box, area)
    np.testing.assert_array_equal(
        sum([pixels(strip).astype(int) for strip in strips], pixels().astype(int)), pixels(box)
    )
    height, width = shape(box)
    rows = max(area // max(width, 1), 1)
    assert len(strips) == -(-height // rows) and all(shape(strip)[0] <= rows for strip in strips)


@given(BOXES, st.integers(0, 5))
def test_padding_dilates_and_ends_at_the_edge(box, margin):
    side = 2 * margin + 1
    dilated = cv2.dilate(pixels(box).astype(np.uint8), np.ones((side, side), np.uint8))
    assert not all(shape(box)) or np.array_equal(pixels(padded(box, margin)), dilated)
