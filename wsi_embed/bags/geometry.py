"""Positions of the tiles of a bag, on the slide and relative to each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_embed.bags.bag import Bag
from wsi_embed.bags.damage import damage_named, positive
from wsi_embed.bags.patient import PatientBag
from wsi_embed.grid import ReadPlan, TileGrid

# Distance between the slides of a patient: larger than between neighbours.
GAP = 2


def lattice(bag: Bag | PatientBag) -> npt.NDArray[np.int64]:
    """Return the position of each tile in steps of the grid, (x, y), int64 [N, 2].

    Positions of touching tiles differ by at most 1 in x and y. A patient's slides are placed one below the
    other with a gap, so that tiles of different slides are never neighbours.
    """
    parts, top = [], 0
    for one in bag.bags if isinstance(bag, PatientBag) else [bag]:
        xy = one.grid[:].astype(np.int64)[:, ::-1]
        if len(xy):
            xy[:, 1] += top
            parts.append(xy)
            top = int(xy[:, 1].max()) + GAP
    return np.concatenate(parts) if parts else np.zeros((0, 2), np.int64)


def bag_grid(bag: Bag) -> TileGrid:
    """Reconstruct the grid of a slide: `Slide.read_tiles` with it returns the encoded pixels.

    Raises:
        StoreError: If the group is damaged.
    """
    with damage_named(bag.slide_id):
        a: dict[str, Any] = bag.attrs
        plan = ReadPlan(
            int(a["level"]),
            round(positive(a["read_px"])),
            round(positive(a["tile_px"])),
            positive(a["effective_mpp"]),
            round(positive(a.get("dct_scale", 1))),
        )
        both = a.get("level_scale", [a["level_downsample"]] * 2)  # a single number in stores from before 0.2
        scale, stride = (positive(both[0]), positive(both[1])), round(positive(a["stride"]))
        coords, grid = bag.coords[:], bag.grid[:]
        if coords.shape != (len(bag), 2) or grid.shape != (len(bag), 2):
            raise ValueError(f"{len(bag)} tiles, but coords {coords.shape} and grid {grid.shape}")
        # coords are level_xy times the scale, rounded; the scale is at least 1, so this is exact
        level_xy = np.rint(coords / scale).astype(np.int32)
        unknown = np.full(len(bag), np.nan, np.float32)
        return TileGrid(plan, stride, scale, np.asarray(grid, np.int32), level_xy, unknown)


def lattice_cells(grid: TileGrid) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the top-left corner of the cell (0, 0) of the lattice, and the size of a cell, both (x, y).

    A tile of a cell covers at least the cell; for tiles read with overlap, the cell is the middle of the
    tile. A grid without tiles has its corner at (0, 0).

    Returns:
        Corner and size, level-0 pixels, float64 [2].
    """
    scale = np.array(grid.scale)
    step = grid.stride * scale
    if not len(grid):
        return np.zeros(2), step
    origin = (grid.level_xy[0] - grid.grid[0, ::-1] * grid.stride) * scale
    return origin + (grid.read_px - grid.stride) * scale / 2, step


def tiles_at(
    grid: TileGrid, xs: npt.NDArray[np.floating], ys: npt.NDArray[np.floating]
) -> npt.NDArray[np.int32]:
    """Return the row of the tile at each position, int32 [len(ys), len(xs)]; -1 where there is none.

    Positions are looked up in the lattice, so that tiles leave no gaps and never overlap. For tiles read with
    overlap, each tile covers the middle cell of its extent.

    Args:
        grid: The tiles.
        xs: Level-0 pixels along x, float [w].
        ys: Level-0 pixels along y, float [h].
    """
    if not len(grid):
        return np.full((len(ys), len(xs)), -1, np.int32)
    rows, cols = grid.grid[:, 0], grid.grid[:, 1]
    # the last row and column stay empty
    table = np.full((int(rows.max()) + 2, int(cols.max()) + 2), -1, np.int32)
    table[rows, cols] = np.arange(len(grid))
    origin, step = lattice_cells(grid)
    index = []
    for positions, first, size, count in zip((xs, ys), origin, step, table.shape[::-1], strict=True):
        cell = np.floor((positions - first) / size).astype(np.int64)
        index.append(np.where((cell >= 0) & (cell < count), cell, count - 1))
    return np.asarray(table[np.ix_(index[1], index[0])])
