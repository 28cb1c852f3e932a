"""Neighbouring tiles of a slide that are read together, and how far they may be moved. No pixels."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from wsi_embed.grid import Int32Array, TileGrid

if TYPE_CHECKING:  # brings ONNX Runtime along, which the processes that decode do not need
    from wsi_embed.tissue import TissueMask

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


def room_to_move(
    grid: TileGrid, mask: TissueMask, starts: Int64Array, area: Area, least: float
) -> Int32Array:
    """How far each region may be moved left, up, right and down, pixels of the read level, int32 [R, 4].

    Half a tile, or else a quarter or an eighth of one, or nothing: so that no tile leaves the area, nor has
    too little tissue when it is moved that way.

    Args:
        grid: The tiles, in order of their regions.
        mask: The tissue.
        starts: First tile of each region, int64 [R].
        area: That tiles may lie in.
        least: Share of tissue that each tile needs.
    """
    steps = np.array([grid.read_px // 2, grid.read_px // 4, grid.read_px // 8])
    ways = np.array([(-1, 0), (0, -1), (1, 0), (0, 1)])
    moves = steps[:, None, None, None] * ways[:, None]
    moved = (grid.level_xy + moves).reshape(-1, 2).astype(np.int32)
    share = mask.coverage(replace(grid, level_xy=moved)).reshape(len(steps), len(ways), len(grid))
    lowest = np.minimum.reduceat(share, starts, axis=2)
    room = (steps[:, None, None] * ((lowest >= least) & (lowest > 0))).max(0)
    corners = grid.level_xy.T
    low, high = (extreme.reduceat(corners, starts, axis=1) for extreme in (np.minimum, np.maximum))
    left_top = low - np.array(area[:2])[:, None]
    right_bottom = np.array(area[2:])[:, None] - high - grid.read_px
    return np.asarray(np.minimum(room, np.concatenate([left_top, right_bottom])).T, np.int32)


def shift_of(rng: np.random.Generator, room: Int32Array) -> tuple[int, int]:
    """Draw how far a region is moved, (x, y), whole pixels of the read level.

    Args:
        rng: Says how far.
        room: Of the region: left, up, right, down, int32 [4].
    """
    left, up, right, down = room.tolist()
    return int(rng.integers(-left, right, endpoint=True)), int(rng.integers(-up, down, endpoint=True))
