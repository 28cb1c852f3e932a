"""Conversion of masks to polygons: the exact outline of a mask's pixels, along their edges."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

IntRing = npt.NDArray[np.int64]
_Index = npt.NDArray[np.int64]


def trace(mask: npt.NDArray[np.bool_]) -> list[list[IntRing]]:
    """Return the outline of every 4-connected piece of a mask.

    Outlines run through pixel corners: rasterising them gives the mask again, bit by bit. Each ring is simple
    (rings may touch at a corner, none crosses or touches itself), so the polygons are valid for GeoJSON and
    QuPath's geometry library.

    Args:
        mask: Mask, bool [h, w].

    Returns:
        Polygons, each an outer ring and its holes, int64 [P, 2] of (x, y), not closed, corners only.
    """
    pieces, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    polygons: list[list[IntRing]] = [[] for _ in range(pieces - 1)]
    for ring, (x, y) in _rings(np.pad(mask, 1)):
        rings = polygons[labels[y, x] - 1]
        rings.insert(0 if _area(ring) > 0 else len(rings), ring)
    return polygons


def _rings(padded: npt.NDArray[np.bool_]) -> Iterator[tuple[IntRing, tuple[int, int]]]:
    """Yield rings with a pixel (x, y) on their inner side; clockwise around pieces, else anticlockwise."""
    # the four pixels around each corner of a pixel
    a, b, c, d = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    ys, xs = np.nonzero((a ^ b ^ c ^ d) | ((a == d) & (b == c) & (a != b)))
    a, b, c, d = (quarter[ys, xs] for quarter in (a, b, c, d))
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
    following = turn[then].tolist()
    start = np.where(rightward, left, right)
    ends = np.stack([start, np.where(rightward, right, left)], axis=1)
    # the pixel below or above the run; `padded` starts one pixel earlier
    inner_y = np.where(rightward, ys[left], ys[left] - 1)
    seen = [False] * len(following)
    for first in range(len(following)):
        if seen[first]:
            continue
        runs, run = [], first
        while not seen[run]:
            seen[run] = True
            runs.append(run)
            run = following[run]
        inner = int(xs[left[first]]), int(inner_y[first])
        for corners in _simple(ends[runs].ravel()):
            yield np.stack([xs[corners], ys[corners]], axis=1), inner


def _by_corner(corners: int, ends: _Index) -> _Index:
    """Return the run that ends at each corner, or -1."""
    runs = np.full(corners, -1, np.int64)
    runs[ends] = np.arange(len(ends))
    return runs


def _first(runs: _Index, others: _Index, corner: _Index) -> _Index:
    return np.where(runs[corner] >= 0, runs[corner], others[corner])


def _simple(ring: _Index) -> Iterator[_Index]:
    """Split a ring that visits a corner twice into rings that do not."""
    if len(np.unique(ring)) == len(ring):
        yield ring
        return
    way: list[int] = []
    place: dict[int, int] = {}
    for corner in ring.tolist():
        if corner in place:
            loop = way[place[corner] :]
            yield np.array(loop)
            for passed in loop[1:]:
                del place[passed]
            del way[place[corner] + 1 :]
        else:
            place[corner] = len(way)
            way.append(corner)
    yield np.array(way)


def _area(ring: IntRing) -> float:
    """Return the signed area, positive for a clockwise ring with y downwards."""
    x, y = ring.T
    return float(x[-1] * y[0] - x[0] * y[-1] + x[:-1] @ y[1:] - x[1:] @ y[:-1]) / 2
