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
