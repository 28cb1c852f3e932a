"""Outlines of masks and of tiles, in level-0 pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from wsi_embed.regions.polygons import Ring
from wsi_embed.regions.trace import trace


def mask_outlines(mask: npt.NDArray[np.bool_], scale: Sequence[float]) -> list[list[Ring]]:
    """Return the exact outlines of every piece of a mask, along the edges of its pixels.

    Args:
        mask: Mask, bool [h, w].
        scale: Level-0 pixels per mask pixel, (x, y).

    Returns:
        Outer ring and holes of each piece, float64 [P, 2] of (x, y), not closed.
    """
    size = np.asarray(scale, np.float64)
    return [[ring.astype(np.float64) * size for ring in rings] for rings in trace(mask)]


def tile_outlines(coords: npt.NDArray[np.float64], extent: float) -> list[list[Ring]]:
    """Return the outlines of the area covered by tiles, which may overlap.

    Tiles that touch only at a corner are separate pieces.

    Args:
        coords: Top-left corners of the tiles, float64 [N, 2].
        extent: Side of a tile.

    Returns:
        Outer ring and holes of each piece, float64 [P, 2] of (x, y), not closed; exact up to the rounding of
        the coordinates.
    """
    xs, left, right = _lines(coords[:, 0], extent)
    ys, top, bottom = _lines(coords[:, 1], extent)
    # every tile adds one to its cells: four corners of a two-dimensional cumulative sum
    steps = np.zeros((len(ys), len(xs)), np.int32)
    for row, column, step in ((top, left, 1), (top, right, -1), (bottom, left, -1), (bottom, right, 1)):
        np.add.at(steps, (row, column), step)
    covered = steps.cumsum(0).cumsum(1)[:-1, :-1] > 0
    return [
        [np.stack([xs[ring[:, 0]], ys[ring[:, 1]]], axis=1) for ring in rings] for rings in trace(covered)
    ]


def _lines(
    starts: npt.NDArray[np.float64], extent: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the lines at which tiles start or end along one axis, and the two lines of each tile.

    Coordinates are rounded to whole pixels, so an end less than a pixel from a start counts as the same line.
    """
    known = np.unique(starts)
    ends = starts + extent
    near = np.searchsorted(known, ends - 1, "right").clip(max=len(known) - 1)
    ends = np.where(np.abs(known[near] - ends) < 1, known[near], ends)
    lines = np.unique(np.concatenate([known, ends]))
    return lines, np.searchsorted(lines, starts), np.searchsorted(lines, ends)
