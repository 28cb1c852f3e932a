"""Neighbouring tiles of a slide that are read together, and where a region lies in an epoch. No pixels."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from wsi_embed.grid import Int32Array

Int64Array = npt.NDArray[np.int64]
Area = tuple[int, int, int, int]  # left, top, right, bottom
UNSHIFTED = -1


def block_shape(region_tiles: int) -> tuple[int, int]:
    """(rows, columns) of a block of at most so many tiles, as square as can be."""
    rows = math.isqrt(region_tiles)
    return rows, region_tiles // rows


def by_region(grid: Int32Array, region_tiles: int) -> tuple[Int64Array, Int64Array]:
    """Order tiles so that those of a region follow each other.

    A region is what there is of a block of neighbouring lattice places.

    Args:
        grid: (row, col) of each tile, int32 [N, 2].
        region_tiles: Most tiles of a region.

    Returns:
        The order, int64 [N], and where in it each region begins, int64 [R].
    """
    blocks = grid // np.array(block_shape(region_tiles))
    order = np.lexsort((grid[:, 1], grid[:, 0], blocks[:, 1], blocks[:, 0]))
    blocks = blocks[order]
    begins = np.ones(len(grid), np.bool_)
    begins[1:] = (blocks[1:] != blocks[:-1]).any(1)
    return np.asarray(order, np.int64), np.flatnonzero(begins)


def shift_of(rng: np.random.Generator, box: Area, area: Area, read_px: int) -> tuple[int, int]:
    """Draw how far a region is moved: at most half a tile each way, and never out of the area.

    Args:
        rng: Says how far.
        box: Of the whole region, pixels of the read level.
        area: That tiles may lie in.
        read_px: Side of a tile.

    Returns:
        (x, y), whole pixels of the read level.
    """
    half = read_px // 2
    moves = []
    for axis in (0, 1):
        low = max(-half, area[axis] - box[axis])
        high = min(half, area[axis + 2] - box[axis + 2])
        moves.append(int(rng.integers(low, high, endpoint=True)))
    return moves[0], moves[1]
