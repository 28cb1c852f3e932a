"""Rasterisation of polygons: pixels whose centres are inside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from wsi_embed.errors import SlideError

Rings = Sequence[npt.NDArray[np.float64]]

# Rows filled at a time, and edges that cross them: both bound the memory for any polygons.
BAND, MOST_CROSSINGS = 128, 250_000
# Crossings of edges and rows in all: some ten seconds. Outlines of tissue have a thousandth of it.
TOO_MANY_CROSSINGS = 200_000_000
# No slide is larger; keeps absurd coordinates from overflowing.
FARTHEST = 1e9


def rasterise(
    polygons: Sequence[Rings],
    shape: tuple[int, int],
    scale: tuple[float, float],
    corner: tuple[float, float] = (0.0, 0.0),
) -> npt.NDArray[np.bool_]:
    """Rasterise the union of polygons, each filled by the even-odd rule.

    Uses scanlines through the pixel centres, for all polygons at once, without an array per polygon.
    Copies of a polygon are filled once.

    Args:
        polygons: Polygons, each a list of rings, float [P, 2] of (x, y); closed or not.
        shape: (h, w) of the result.
        scale: Units of the polygons per pixel, (x, y).
        corner: (x, y) of the result's top-left corner.

    Returns:
        True where the pixel's centre is inside a polygon, bool [h, w].

    Raises:
        SlideError: If the outlines cross the rows of pixels more than `TOO_MANY_CROSSINGS` times.
    """
    height, width = shape
    filled = np.zeros(shape, np.bool_)
    if not any(map(len, polygons)):
        return filled
    edges = _edges(_distinct(polygons), height, scale, corner)
    if (crossings := int((edges.last - edges.first).sum())) > TOO_MANY_CROSSINGS:
        raise SlideError(
            f"its outlines zigzag: they cross the {height:,} rows of their picture {crossings:,} times",
            remedy="simplify them, for example in QuPath: Objects > Annotations > Simplify shape",
        )
    for top, bottom in _bands(edges.first, edges.last, height):
        low, high = np.maximum(edges.first, top), np.minimum(edges.last, bottom)
        there = np.flatnonzero(low < high)
        if not len(there):
            continue
        count = (high - low)[there]
        edge = np.repeat(there, count)
        row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + low[edge]
        x = edges.x[edge] + (row - edges.y[edge]) * edges.slope[edge]
        column = np.ceil(x).clip(0, width).astype(np.int64)
        cell = (row - top) * (width + 1) + column
        filled[top:bottom] = _inside(edges.owner[edge], cell, (bottom - top, width + 1))[:, :-1]
    return filled


@dataclass(frozen=True)
class _Edges:
    """Edges of polygons, in pixels with pixel centres at whole numbers.

    Attributes:
        owner: Number of the polygon, int64 [E], in ascending order.
        x: Start of the edge, float64 [E].
        y: Start of the edge, float64 [E].
        slope: Change of x from a row to the next, float64 [E].
        first: First row that the edge crosses, int64 [E].
        last: Row after the last one, int64 [E].
    """

    owner: npt.NDArray[np.int64]
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    slope: npt.NDArray[np.float64]
    first: npt.NDArray[np.int64]
    last: npt.NDArray[np.int64]


def _edges(
    polygons: Sequence[Rings], height: int, scale: tuple[float, float], corner: tuple[float, float]
) -> _Edges:
    """Return the edges of polygons; arguments as for `rasterise`."""
    rings = [ring for rings in polygons for ring in rings]
    owners = [number for number, rings in enumerate(polygons) for _ in rings]
    start = np.concatenate(rings).clip(-FARTHEST, FARTHEST)
    end = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings]).clip(-FARTHEST, FARTHEST)
    (x0, y0), (x1, y1) = ((points - corner).T / np.reshape(scale, (2, 1)) - 0.5 for points in (start, end))
    # the rows y with min(y0, y1) <= y < max(y0, y1)
    low, high = (
        np.ceil(limit(y0, y1)).clip(0, height).astype(np.int64) for limit in (np.minimum, np.maximum)
    )
    slope = np.divide(x1 - x0, y1 - y0, out=np.zeros_like(x0), where=y0 != y1)
    return _Edges(np.repeat(owners, [len(ring) for ring in rings]), x0, y0, slope, low, high)


def _distinct(polygons: Sequence[Rings]) -> list[Rings]:
    """Return the polygons without copies of earlier ones."""
    found: dict[bytes, Rings] = {}
    for rings in polygons:
        digest = blake2b(digest_size=16)
        for ring in rings:
            digest.update(len(ring).to_bytes(8, "little") + ring.tobytes())
        found.setdefault(digest.digest(), rings)
    return list(found.values())


def _inside(
    owner: npt.NDArray[np.int64], cell: npt.NDArray[np.int64], shape: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """Return the cells inside any polygon, bool `shape`.

    A row crosses a polygon's outline an even number of times: in, out, in, out.

    Args:
        owner: Polygon of each crossing, in ascending order.
        cell: First cell right of each crossing, counted row by row.
        shape: (rows, columns) of the cells.
    """
    size = shape[0] * shape[1]
    count = np.bincount(owner)
    many = count > size  # a counter for each cell is then faster than sorting
    filled = np.zeros(shape, np.bool_)
    for number in np.flatnonzero(many):
        begin, end = np.searchsorted(owner, (number, number + 1))
        crossed = np.bincount(cell[begin:end], minlength=size) % 2 == 1
        filled |= np.logical_xor.accumulate(crossed.reshape(shape), axis=1)
    few = ~many[owner]
    crossings = np.sort(owner[few] * size + cell[few]) % size
    steps = np.bincount(crossings[0::2], minlength=size) - np.bincount(crossings[1::2], minlength=size)
    filled |= np.cumsum(steps).reshape(shape) > 0  # over all rows at once: each adds up to zero
    return filled


def _bands(
    first: npt.NDArray[np.int64], last: npt.NDArray[np.int64], height: int
) -> Iterator[tuple[int, int]]:
    """Yield top and bottom of bands of rows that a limited number of edges cross; at least one row high."""
    begun = np.bincount(first, minlength=height + 1) - np.bincount(last, minlength=height + 1)
    crossed = np.concatenate([[0], np.cumsum(np.cumsum(begun[:-1]))])
    top = 0
    while top < height:
        most = int(np.searchsorted(crossed, crossed[top] + MOST_CROSSINGS, "right")) - 1
        bottom = min(top + BAND, max(top + 1, most), height)
        yield top, bottom
        top = bottom
