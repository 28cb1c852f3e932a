"""Outlines of masks and of tiles, in level-0 pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from wsi_embed.regions.polygons import Ring
from wsi_embed.regions.trace import trace

# Largest number of cells of the lattices that are traced at once.
CELLS = 2**20


def mask_outlines(
    mask: npt.NDArray[np.bool_], scale: Sequence[float], origin: Sequence[float] = (0, 0)
) -> list[list[Ring]]:
    """Return the exact outlines of every piece of a mask, along the edges of its pixels.

    Args:
        mask: Mask, bool [h, w].
        scale: Level-0 pixels per mask pixel, (x, y).
        origin: Origin of the coordinates of the outlines, level-0 pixels, (x, y).

    Returns:
        Outer ring and holes of each piece, float64 [P, 2] of (x, y), not closed.
    """
    outlines = trace(mask)
    return outlines.rings(outlines.points * np.asarray(scale, np.float64) - np.asarray(origin, np.float64))


def tile_outlines(
    coords: npt.NDArray[np.float64], extent: float, groups: npt.NDArray[np.int64]
) -> Iterator[tuple[int, list[Ring]]]:
    """Outline the area covered by the tiles of each group. Tiles may overlap.

    Tiles that touch only at a corner are separate pieces.

    Args:
        coords: Top-left corners of the tiles, float64 [N, 2].
        extent: Side of a tile.
        groups: Group of each tile, int64 [N].

    Yields:
        Group, and outer ring and holes of one of its pieces, float64 [P, 2] of (x, y), not closed; exact up
        to the rounding of the coordinates. All pieces of a group follow each other, groups are sorted.
    """
    xs, left, right = _lines(coords[:, 0], extent)
    ys, top, bottom = _lines(coords[:, 1], extent)
    known, number = np.unique(groups, return_inverse=True)
    at_a_time = max(1, CELLS // max(1, len(xs) * len(ys)))
    for first in range(0, len(known), at_a_time):
        some = known[first : first + at_a_time].tolist()
        rows = np.flatnonzero((number >= first) & (number < first + len(some)))
        # every tile adds one to its cells: four corners of a two-dimensional cumulative sum
        steps = np.zeros((len(ys), len(some), len(xs)), np.int32)
        for row, column, step in ((top, left, 1), (top, right, -1), (bottom, left, -1), (bottom, right, 1)):
            np.add.at(steps, (row[rows], number[rows] - first, column[rows]), step)
        # side by side all groups are traced at once; the last column of each is empty
        covered = steps.cumsum(0).cumsum(2) > 0
        outlines = trace(covered.reshape(len(ys), -1))
        beside, column = np.divmod(outlines.points[:, 0], len(xs))
        points = np.stack([xs[column], ys[outlines.points[:, 1]]], axis=1)
        found = [
            (some[beside[rings[0].start]], [points[ring] for ring in rings]) for rings in outlines.pieces
        ]
        yield from sorted(found, key=lambda piece: piece[0])


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
