"""Conversion of masks to polygons: the exact outline of a mask's pixels, along their edges."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

_Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Outlines:
    """Outline of every 4-connected piece of a mask.

    Attributes:
        points: Corners of all rings, int64 [P, 2] of (x, y).
        pieces: Outer ring and holes of each piece, as slices of `points`. Rings are not closed.
    """

    points: npt.NDArray[np.int64]
    pieces: list[list[slice]]

    def rings(self, points: npt.NDArray[Any]) -> list[list[npt.NDArray[Any]]]:
        """Return the rings of each piece, with other coordinates for the same corners, [P, 2]."""
        return [[points[ring] for ring in rings] for rings in self.pieces]


def trace(mask: npt.NDArray[np.bool_]) -> Outlines:
    """Return the outline of every 4-connected piece of a mask.

    Outlines run through pixel corners: rasterising them gives the mask again, bit by bit. Each ring is simple
    (rings may touch at a corner, none crosses or touches itself), so the polygons are valid for GeoJSON and
    QuPath's geometry library.

    Args:
        mask: Mask, bool [h, w].
    """
    if not mask.any():
        return Outlines(np.zeros((0, 2), np.int64), [])
    padded = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), np.bool_)
    padded[1:-1, 1:-1] = mask
    points, rings = _rings(padded)
    if all(ring.outer for ring in rings):  # which are in the order of the pieces
        return Outlines(points, [[ring.points] for ring in rings])
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    pieces: list[list[slice]] = [[] for _ in range(count - 1)]
    for ring in rings:
        x, y = ring.pixel
        piece = pieces[labels[y, x] - 1]
        piece.insert(0 if ring.outer else len(piece), ring.points)
    return Outlines(points, pieces)


class _Ring(NamedTuple):
    """Ring: slice of the points, whether it goes clockwise around a piece, and a pixel (x, y) inside it."""

    points: slice
    outer: bool
    pixel: tuple[int, int]


def _rings(padded: npt.NDArray[np.bool_]) -> tuple[_Index, list[_Ring]]:
    """Return the points of all rings, and the rings, in the order of their first corners.

    Args:
        padded: Mask with a margin of one pixel, bool [h + 2, w + 2].
    """
    # a corner is where the outline turns: sides between pixels beside each other, and between those below
    upright, level = padded[:, :-1] ^ padded[:, 1:], padded[:-1] ^ padded[1:]
    ys, xs = np.nonzero((upright[:-1] | upright[1:]) & (level[:, :-1] | level[:, 1:]))
    # the four pixels around each corner
    a, b, c, d = (part[ys, xs] for part in (padded, padded[:, 1:], padded[1:], padded[1:, 1:]))
    by_column = np.lexsort((ys, xs))
    # straight runs between neighbouring corners of a line, by their two ends
    left, right = np.flatnonzero(b != d), np.flatnonzero(a != c)
    top, bottom = by_column[(c != d)[by_column]], by_column[(a != b)[by_column]]
    rightward, downward = d[left], c[top]  # with the inside on the right
    at = [_by_corner(len(xs), ends) for ends in (left, right, top, bottom)]
    right_of, left_of, below, above = at
    # where two pieces touch at a corner, the ring stays with its own piece
    corner = np.where(rightward, right, left)
    then = np.where(rightward, _first(below, above, corner), _first(above, below, corner))
    corner = np.where(downward, bottom, top)
    turn = np.where(downward, _first(left_of, right_of, corner), _first(right_of, left_of, corner))
    order, starts = _loops(turn[then].tolist())
    ends = np.stack([np.where(rightward, left, right), np.where(rightward, right, left)], axis=1)
    corners, points = ends[order].ravel(), np.stack([xs, ys], axis=1)
    # the first run of a ring is its topmost: the inside is below it only in an outer ring
    first = [order[start] for start in starts]
    outer, x = rightward[first].tolist(), xs[left[first]].tolist()
    # the pixel below or above the run; `padded` starts one pixel earlier
    y = (ys[left[first]] - ~rightward[first]).tolist()
    parts = [slice(2 * start, 2 * end) for start, end in itertools.pairwise([*starts, len(order)])]
    rings = [_Ring(*ring) for ring in zip(parts, outer, zip(x, y, strict=True), strict=True)]
    touching = (a == d) & (b == c)
    if touching.any():
        rings = [simple for ring in rings for simple in _simple_rings(ring, corners, points, touching)]
    return points[corners], rings


def _simple_rings(
    ring: _Ring, corners: _Index, points: _Index, touching: npt.NDArray[np.bool_]
) -> Iterator[_Ring]:
    """Split a ring in rings that visit no corner twice, and order its corners accordingly.

    Args:
        ring: Ring as a slice of `corners`.
        corners: Corners of all rings, changed in place.
        points: Points of the corners, int64 [C, 2].
        touching: Whether a ring may visit a corner twice.
    """
    visited = corners[ring.points].tolist()
    if not touching[visited].any() or len(set(visited)) == len(visited):
        yield ring
        return
    start = ring.points.start
    for loop in _loops_at_corners(visited):
        part = slice(start, start + len(loop))
        corners[part] = loop
        yield _Ring(part, _area(points[loop]) > 0, ring.pixel)
        start = part.stop


def _loops(following: list[int]) -> tuple[list[int], list[int]]:
    """Return the runs of all rings, one ring after the other, and where in this list each ring starts.

    Args:
        following: Run that follows each run.
    """
    seen = [False] * len(following)
    order, starts = list[int](), list[int]()
    for first in range(len(following)):
        if seen[first]:
            continue
        starts.append(len(order))
        run = first
        while not seen[run]:
            seen[run] = True
            order.append(run)
            run = following[run]
    return order, starts


def _by_corner(corners: int, ends: _Index) -> _Index:
    """Return the run that ends at each corner, or -1."""
    runs = np.full(corners, -1, np.int64)
    runs[ends] = np.arange(len(ends))
    return runs


def _first(runs: _Index, others: _Index, corner: _Index) -> _Index:
    return np.where(runs[corner] >= 0, runs[corner], others[corner])


def _loops_at_corners(ring: list[int]) -> Iterator[list[int]]:
    """Split a ring wherever it comes to a corner again."""
    way: list[int] = []
    place: dict[int, int] = {}
    for corner in ring:
        if corner in place:
            loop = way[place[corner] :]
            yield loop
            for passed in loop[1:]:
                del place[passed]
            del way[place[corner] + 1 :]
        else:
            place[corner] = len(way)
            way.append(corner)
    yield way


def _area(ring: _Index) -> float:
    """Return the signed area, positive for a clockwise ring with y downwards."""
    x, y = ring.T
    return float(x[-1] * y[0] - x[0] * y[-1] + x[:-1] @ y[1:] - x[1:] @ y[:-1]) / 2
