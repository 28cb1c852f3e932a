"""Annotated class of each tile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from wsi_embed.grid import TileGrid
from wsi_embed.regions.polygons import Polygon
from wsi_embed.regions.raster import rasterise


def tile_classes(grid: TileGrid, layers: Sequence[Sequence[Polygon]]) -> npt.NDArray[np.int16]:
    """Return the first layer with a polygon around each tile's centre, int16 [N]; -1 without any.

    Only the centre decides, which is exact and needs no threshold.

    Args:
        grid: Tiles.
        layers: Polygons of each class, level-0 pixels; a tile in several classes belongs to the first.

    Raises:
        SlideError: If the outlines zigzag too much to be filled.
    """
    found = np.full(len(grid), -1, np.int16)
    if not len(grid):
        return found
    rows, columns = grid.grid[:, 0], grid.grid[:, 1]
    scale = np.array(grid.scale)
    step = grid.stride * scale
    origin = (grid.level_xy[0] - grid.grid[0, ::-1] * grid.stride) * scale
    # one pixel per lattice position, with the centre of its tile
    corner = origin + (grid.read_px - grid.stride) * scale / 2
    shape = (int(rows.max()) + 1, int(columns.max()) + 1)
    for number in reversed(range(len(layers))):
        rings = [polygon.rings for polygon in layers[number]]
        inside = rasterise(
            rings, shape, (float(step[0]), float(step[1])), (float(corner[0]), float(corner[1]))
        )
        found[inside[rows, columns]] = number
    return found
