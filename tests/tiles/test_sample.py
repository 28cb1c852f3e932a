"""A sample of tiles: random, and the same for ever."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wsi_embed.grid import TileGrid, make_grid, plan_read
from wsi_embed.tiles.job import sample


def grid_of(rows: int, cols: int) -> TileGrid:
    size = (cols * 10, rows * 10)
    return make_grid(plan_read(0.5, [1.0], 0.5, 10), (1.0, 1.0), size, (0, 0, *size))


places = st.tuples(st.integers(1, 12), st.integers(1, 12))


@given(places, st.integers(1, 60), st.integers(0, 60), st.text(max_size=5))
def test_a_larger_sample_holds_a_smaller_and_both_keep_the_order(
    shape: tuple[int, int], most: int, more: int, seed: str
) -> None:
    grid = grid_of(*shape)
    small, large = (sample(grid, n, seed).grid.tolist() for n in (most, most + more))
    assert len(small) == min(most, len(grid))
    assert [place for place in large if place in small] == small
    assert large == sorted(large)


@given(places, st.integers(1, 30), st.data())
def test_a_tile_more_or_less_hardly_changes_the_sample(
    shape: tuple[int, int], most: int, data: st.DataObject
) -> None:
    """Other tissue settings must not draw another sample altogether."""
    grid = grid_of(*shape)
    gone = data.draw(st.integers(0, len(grid) - 1))
    before = {tuple(p) for p in sample(grid, most, "0:a").grid.tolist()}
    less = grid.where(np.arange(len(grid)) != gone)
    after = {tuple(p) for p in sample(less, most, "0:a").grid.tolist()}
    assert len(before - after) <= 1


def test_every_tile_is_drawn_about_equally_often() -> None:
    grid, counts = grid_of(8, 8), np.zeros((8, 8))
    for seed in range(2000):
        rows, cols = sample(grid, 16, f"{seed}:slide").grid.T
        counts[rows, cols] += 1
    # 500 expected each, standard deviation of about 19
    assert np.abs(counts - 500).max() < 100


def test_the_sample_of_a_seed_never_changes() -> None:
    """As it once was: other numbers would mix two samples in a folder that is gone on with."""
    assert sample(grid_of(4, 4), 4, "0:slide").grid.tolist() == [[0, 1], [1, 3], [2, 3], [3, 2]]
