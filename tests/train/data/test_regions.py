from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_embed.grid import ReadPlan, TileGrid, make_grid
from wsi_embed.tissue import TissueMask
from wsi_embed_train.data.regions import block_shape, by_region, room_to_move, shift_of


@pytest.mark.parametrize(
    ("most", "shape"),
    [(1, (1, 1)), (2, (1, 2)), (4, (2, 2)), (5, (2, 2)), (6, (2, 3)), (9, (3, 3)), (16, (4, 4))],
)
def test_blocks_are_as_square_as_can_be(most: int, shape: tuple[int, int]) -> None:
    assert block_shape(most) == shape


@given(
    st.sets(st.tuples(st.integers(0, 12), st.integers(0, 9)), max_size=60), st.integers(1, 16), st.randoms()
)
def test_regions_are_the_blocks_of_the_lattice(places: set[tuple[int, int]], most: int, rng: object) -> None:
    grid = np.array(sorted(places), np.int32).reshape(-1, 2)
    order, starts = by_region(grid, most)
    assert sorted(order.tolist()) == list(range(len(grid)))
    rows, columns = block_shape(most)
    regions = [part.tolist() for part in np.split(grid[order], starts[1:])] if len(grid) else []
    expected: dict[tuple[int, int], list[list[int]]] = {}
    for row, column in sorted(places):
        expected.setdefault((row // rows, column // columns), []).append([row, column])
    assert regions == [expected[block] for block in sorted(expected)]
    assert len(starts) == len(expected)


def lattice(mask: np.ndarray, tile_px: int = 32) -> tuple[TileGrid, TissueMask, tuple[int, int, int, int]]:
    """A grid over a slide of which the mask is a quarter as large; tiles with tissue only."""
    h, w = mask.shape[0] * 4, mask.shape[1] * 4
    area = (5, 7, w - 3, h - 2)
    bounds = (5, 7, w - 8, h - 9)
    tissue = TissueMask(mask, (4.0, 4.0))
    grid = make_grid(ReadPlan(0, tile_px, tile_px, 0.5), (1.0, 1.0), (w, h), bounds)
    fraction = tissue.coverage(grid)
    return grid.where(fraction >= 0.25), tissue, area


@given(st.integers(0, 10**6), st.sampled_from([1, 2, 4, 9]))
def test_no_move_leaves_the_area_nor_the_tissue(seed: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    centre, radius = rng.uniform(5, 55, 2), rng.uniform(4, 30)
    y, x = np.mgrid[:61, :73]
    grid, tissue, area = lattice((x - centre[0]) ** 2 + (y - centre[1]) ** 2 < radius**2)
    if not len(grid):
        return
    order, starts = by_region(grid.grid, most)
    grid = grid.where(order)
    room = room_to_move(grid, tissue, starts, area, 0.25)
    assert room.shape == (len(starts), 4)
    assert room.min() >= 0
    assert room.max() <= 16
    stops = [*starts[1:].tolist(), len(grid)]
    for start, stop, (left, up, right, down) in zip(starts.tolist(), stops, room.tolist(), strict=True):
        for dx, dy in ((-left, 0), (0, -up), (right, 0), (0, down)):
            for x0, y0 in (grid.level_xy[start:stop] + np.array((dx, dy))).tolist():
                assert area[0] <= x0
                assert x0 + 32 <= area[2]
                assert area[1] <= y0
                assert y0 + 32 <= area[3]
                share = area_of(tissue.mask, x0 / 4, y0 / 4, 8)
                assert share >= 0.25 - 1e-5


def area_of(mask: np.ndarray, x: float, y: float, side: int) -> float:
    """Share of a square that a mask covers, by adding up its pixels one by one."""
    total = 0.0
    for row in range(math.floor(y), min(math.ceil(y + side), mask.shape[0])):
        for column in range(math.floor(x), min(math.ceil(x + side), mask.shape[1])):
            high = min(row + 1, y + side) - max(row, y)
            wide = min(column + 1, x + side) - max(column, x)
            total += high * wide * mask[row, column]
    return total / side**2


def test_where_all_is_tissue_half_a_tile_is_free_but_for_the_edges() -> None:
    grid, tissue, area = lattice(np.ones((40, 40), np.bool_))  # 4 x 4 tiles from (5, 7), 24 and 23 to spare
    order, starts = by_region(grid.grid, 4)
    room = room_to_move(grid.where(order), tissue, starts, area, 0.25)
    assert room.tolist() == [[0, 0, 16, 16], [16, 0, 16, 16], [0, 16, 16, 16], [16, 16, 16, 16]]


def test_no_tiles_no_regions() -> None:
    grid, tissue, area = lattice(np.zeros((40, 40), np.bool_))
    order, starts = by_region(grid.grid, 4)
    assert len(order) == len(starts) == 0
    assert room_to_move(grid, tissue, starts, area, 0.25).shape == (0, 4)


def test_shifts_fill_the_room_evenly() -> None:
    rng, room = np.random.default_rng(0), np.array([1, 0, 2, 3], np.int32)
    drawn = [shift_of(rng, room) for _ in range(2000)]
    counts = np.unique(np.array(drawn), axis=0, return_counts=True)
    assert counts[0].tolist() == [[x, y] for x in range(-1, 3) for y in range(4)]
    assert counts[1].min() > 80
