from __future__ import annotations

import numpy as np

from wsi_embed.regions.outlines import mask_outlines, tile_outlines


def test_outlines_of_a_mask_have_its_holes_and_scale() -> None:
    mask = np.zeros((6, 8), bool)
    mask[1:5, 1:6] = True
    mask[2:4, 2:4] = False
    ((outer, hole),) = mask_outlines(mask, (10.0, 5.5))
    assert (outer.min(0).tolist(), outer.max(0).tolist()) == ([10, 5.5], [60, 27.5])
    assert (hole.min(0).tolist(), hole.max(0).tolist()) == ([20, 11], [40, 22])


def test_tiles_that_share_a_side_are_one_piece_and_those_at_a_corner_are_two() -> None:
    coords = np.array([(0, 0), (10, 0), (20, 10)], float)
    pieces = tile_outlines(coords, 10.0)
    corners = [{(float(x), float(y)) for x, y in ring} for (ring,) in pieces]
    assert corners == [{(0, 0), (20, 0), (20, 10), (0, 10)}, {(20, 10), (30, 10), (30, 20), (20, 20)}]


def test_a_ring_of_tiles_has_a_hole() -> None:
    coords = np.array([(x, y) for x in (0, 10, 20) for y in (0, 10, 20) if (x, y) != (10, 10)], float)
    ((outer, hole),) = tile_outlines(coords, 10.0)
    assert (len(outer), len(hole)) == (4, 4)
    assert (hole.min(0).tolist(), hole.max(0).tolist()) == ([10, 10], [20, 20])


def test_no_tiles_have_no_outline() -> None:
    assert tile_outlines(np.zeros((0, 2)), 10.0) == []
