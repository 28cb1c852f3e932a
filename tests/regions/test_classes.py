"""Which class a tile is of: against a ray from its centre, on lattices of every kind."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.regions.oracle import Points, inside, near
from wsi_embed.grid import ReadPlan, TileGrid, make_grid
from wsi_embed.regions import Polygon, tile_classes

SIDE = 1000


def lattice(n: int, downsample: float, overlap: int, bounds: tuple[int, int, int, int]) -> TileGrid:
    size = (round(SIDE / downsample), round(SIDE / downsample))
    return make_grid(ReadPlan(0, n, 32, 0.5), (downsample, downsample), size, bounds, overlap)


def polygon(*rings: Points) -> Polygon:
    return Polygon([np.array(ring, np.float64) for ring in rings])


corners = st.lists(st.tuples(st.integers(-50, SIDE), st.integers(-50, SIDE)), min_size=3, max_size=7)


@settings(max_examples=20)
@given(
    st.lists(st.lists(corners, min_size=1, max_size=2), min_size=1, max_size=3),
    st.sampled_from([1.0, 1.5, 4.00013]),
    st.sampled_from([0, 8, 16]),
    st.sampled_from([(0, 0, SIDE, SIDE), (130, 70, 600, 700)]),
)
def test_the_centre_decides_and_the_first_class_wins(
    layers: list[list[Points]], downsample: float, overlap: int, bounds: tuple[int, int, int, int]
) -> None:
    grid = lattice(48, downsample, overlap, bounds)
    found = tile_classes(grid, [[polygon(ring) for ring in layer] for layer in layers])
    for (x, y), number in zip(grid.level_xy * downsample + grid.extent / 2, found.tolist(), strict=True):
        if any(near([ring], x, y) for layer in layers for ring in layer):
            continue
        within = [any(inside([ring], x, y) for ring in layer) for layer in layers]
        assert number == (within.index(True) if any(within) else -1)


def test_a_hole_is_outside() -> None:
    whole = [(0, 0), (SIDE, 0), (SIDE, SIDE), (0, SIDE)]
    hole = [(300, 300), (700, 300), (700, 700), (300, 700)]
    grid = lattice(100, 1.0, 0, (0, 0, SIDE, SIDE))
    found = tile_classes(grid, [[polygon(whole, hole)]]).reshape(10, 10)
    assert (found[3:7, 3:7] == -1).all()
    assert (found == 0).sum() == 84


@pytest.mark.parametrize("layers", [[], [[]]])
def test_without_polygons_no_tile_has_a_class(layers: list[list[Polygon]]) -> None:
    assert (tile_classes(lattice(100, 1.0, 0, (0, 0, SIDE, SIDE)), layers) == -1).all()


def test_some_tiles_of_a_lattice_and_none() -> None:
    grid = lattice(100, 1.0, 0, (0, 0, SIDE, SIDE))
    left = polygon([(0, 0), (500, 0), (500, SIDE), (0, SIDE)])
    some = np.array([7, 23, 99])
    assert tile_classes(grid.where(some), [[left]]).tolist() == [-1, 0, -1]
    assert len(tile_classes(grid.where(np.array([], np.int64)), [[left]])) == 0
