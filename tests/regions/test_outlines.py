from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wsi_embed.regions.outlines import mask_outlines, tile_outlines


def test_outlines_of_a_mask_have_its_holes_and_scale() -> None:
    mask = np.zeros((6, 8), bool)
    mask[1:5, 1:6] = True
    mask[2:4, 2:4] = False
    ((outer, hole),) = mask_outlines(mask, (10.0, 5.5))
    assert (outer.min(0).tolist(), outer.max(0).tolist()) == ([10, 5.5], [60, 27.5])
    assert (hole.min(0).tolist(), hole.max(0).tolist()) == ([20, 11], [40, 22])


def test_outlines_of_a_mask_start_at_the_origin() -> None:
    ((ring,),) = mask_outlines(np.ones((2, 3), bool), (10.0, 5.5), (7, 4))
    assert (ring.min(0).tolist(), ring.max(0).tolist()) == ([-7, -4], [23, 7])


def one_group(coords: npt.NDArray[np.float64], extent: float) -> list[list[npt.NDArray[np.float64]]]:
    found = list(tile_outlines(coords, extent, np.full(len(coords), 5)))
    assert {group for group, _ in found} <= {5}
    return [rings for _, rings in found]


def test_groups_come_in_order_each_with_all_its_pieces() -> None:
    coords, groups = np.array([(0, 0), (10, 0), (20, 0), (40, 0)], float), np.array([3, -1, 3, 3])
    found = [
        (g, rings[0].min(0).tolist(), rings[0].max(0).tolist())
        for g, rings in tile_outlines(coords, 10.0, groups)
    ]
    assert found == [
        (-1, [10, 0], [20, 10]),
        (3, [0, 0], [10, 10]),
        (3, [20, 0], [30, 10]),
        (3, [40, 0], [50, 10]),
    ]


def test_tiles_that_share_a_side_are_one_piece_and_those_at_a_corner_are_two() -> None:
    coords = np.array([(0, 0), (10, 0), (20, 10)], float)
    pieces = one_group(coords, 10.0)
    corners = [{(float(x), float(y)) for x, y in ring} for (ring,) in pieces]
    assert corners == [{(0, 0), (20, 0), (20, 10), (0, 10)}, {(20, 10), (30, 10), (30, 20), (20, 20)}]


def test_a_ring_of_tiles_has_a_hole() -> None:
    coords = np.array([(x, y) for x in (0, 10, 20) for y in (0, 10, 20) if (x, y) != (10, 10)], float)
    ((outer, hole),) = one_group(coords, 10.0)
    assert (len(outer), len(hole)) == (4, 4)
    assert (hole.min(0).tolist(), hole.max(0).tolist()) == ([10, 10], [20, 20])


def test_no_tiles_have_no_outline() -> None:
    assert one_group(np.zeros((0, 2)), 10.0) == []
