from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.regions.oracle import fill
from wsi_embed.regions.raster import rasterise
from wsi_embed.regions.trace import trace

BoolArray = npt.NDArray[np.bool_]
IntRing = npt.NDArray[np.int64]
masks = hnp.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def traced(mask: BoolArray) -> list[list[IntRing]]:
    outlines = trace(mask)
    assert sum(ring.stop - ring.start for rings in outlines.pieces for ring in rings) == len(outlines.points)
    return outlines.rings(outlines.points)


def area(ring: IntRing) -> float:
    total = 0
    for (x0, y0), (x1, y1) in zip(ring.tolist(), [*ring.tolist()[1:], ring.tolist()[0]], strict=True):
        total += x0 * y1 - x1 * y0
    return total / 2


@settings(max_examples=150)
@given(masks)
def test_the_outline_encloses_exactly_the_pixels(mask: BoolArray) -> None:
    expected, sure = fill([[ring.tolist() for ring in rings] for rings in traced(mask)], mask.shape)
    assert sure.all()
    assert np.array_equal(expected, mask)


@settings(max_examples=150)
@given(masks)
def test_polygons_are_valid(mask: BoolArray) -> None:
    """One outer ring a piece, holes the other way around, no ring comes to a corner twice."""
    polygons = traced(mask)
    pieces, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    assert len(polygons) == pieces - 1
    for rings, (x, y, w, h, pixels) in zip(polygons, stats[1:].tolist(), strict=True):
        assert rings[0].min(0).tolist() == [x, y]
        assert rings[0].max(0).tolist() == [x + w, y + h]
        areas = [area(ring) for ring in rings]
        assert areas[0] > 0
        assert all(a < 0 for a in areas[1:])
        assert sum(areas) == pixels
        for ring in rings:
            assert len(np.unique(ring, axis=0)) == len(ring)
            sides = np.roll(ring, -1, axis=0) - ring
            assert (np.count_nonzero(sides, axis=1) == 1).all()  # along pixel edges
            assert (np.count_nonzero(sides[:-1] + sides[1:], axis=1) == 2).all()  # every point is a corner


def test_a_hole_that_touches_the_outside_at_a_corner_is_a_ring_of_its_own() -> None:
    mask = np.ones((3, 3), bool)
    mask[1, 1] = mask[0, 0] = False
    (rings,) = traced(mask)
    assert [len(ring) for ring in rings] == [6, 4]


@pytest.mark.parametrize("fill_value", [True, False])
def test_all_and_nothing(fill_value: bool) -> None:
    polygons = traced(np.full((5, 7), fill_value))
    assert len(polygons) == int(fill_value)
    for (ring,) in polygons:
        assert sorted(ring.tolist()) == [[0, 0], [0, 5], [7, 0], [7, 5]]


def test_a_large_mask_comes_back_bit_by_bit() -> None:
    noise = cv2.GaussianBlur(np.random.default_rng(0).random((700, 900)), (0, 0), 3)
    mask = noise > np.median(noise)
    polygons = [[ring.astype(float) for ring in rings] for rings in traced(mask)]
    assert len(polygons) > 50
    assert np.array_equal(rasterise(polygons, (700, 900), (1, 1)), mask)
