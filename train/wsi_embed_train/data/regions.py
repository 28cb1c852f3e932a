"""Regions: neighbouring tiles of a slide that are read together, and the limits of their random shifts."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from wsi_embed.grid import Int32Array, TileGrid

if TYPE_CHECKING:  # imports ONNX Runtime, which the decoding processes do not need
    from wsi_embed.tissue import TissueMask

Int64Array = npt.NDArray[np.int64]
Area = tuple[int, int, int, int]  # left, top, right, bottom
UNSHIFTED = -1


def block_shape(region_tiles: int) -> tuple[int, int]:
    """Return (rows, columns) of the most square block of at most `region_tiles` tiles."""
    rows = math.isqrt(region_tiles)
    return rows, region_tiles // rows


def by_region(grid: Int32Array, region_tiles: int) -> tuple[Int64Array, Int64Array]:
    """Order tiles so that those of a region follow each other.

    A region contains the tiles within a block of neighbouring grid positions.

    Args:
        grid: (row, col) of each tile, int32 [N, 2].
        region_tiles: Maximum number of tiles in a region.

    Returns:
        Order of the tiles, int64 [N], and position in it of the first tile of each region, int64 [R].
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
    """Return the maximum shift of each region left, up, right and down.

    A shift is half, a quarter or an eighth of a tile, or nothing, so that no tile leaves the area or has too
    little tissue after it.

    Args:
        grid: The tiles, ordered by region.
        mask: Tissue of the slide.
        starts: First tile of each region, int64 [R].
        area: Area that contains all shifted tiles: left, top, right, bottom, pixels of the read level.
        least: Minimum share of tissue in each tile.

    Returns:
        Pixels of the read level, int32 [R, 4].
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
    """Draw the shift of a region, (x, y), whole pixels of the read level.

    Args:
        rng: Random generator.
        room: Maximum shift of the region left, up, right and down, int32 [4].
    """
    left, up, right, down = room.tolist()
    return int(rng.integers(-left, right, endpoint=True)), int(rng.integers(-up, down, endpoint=True))
