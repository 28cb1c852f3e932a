"""Rasterisation of polygons: pixels whose centres are inside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

# Rows filled at a time, and edges that cross them: both bound the memory for any polygons.
BAND, MOST_CROSSINGS = 128, 2_000_000
# No slide is larger; keeps absurd coordinates from overflowing.
FARTHEST = 1e9


def rasterise(
    polygons: Sequence[Sequence[npt.NDArray[np.float64]]],
    shape: tuple[int, int],
    scale: tuple[float, float],
    corner: tuple[float, float] = (0.0, 0.0),
) -> npt.NDArray[np.bool_]:
    """Rasterise the union of polygons, each filled by the even-odd rule.

    Uses scanlines through the pixel centres, for all polygons at once, without an array per polygon.

    Args:
        polygons: Polygons, each a list of rings, float [P, 2] of (x, y); closed or not.
        shape: (h, w) of the result.
        scale: Units of the polygons per pixel, (x, y).
        corner: (x, y) of the result's top-left corner.

    Returns:
        True where the pixel's centre is inside a polygon, bool [h, w].
    """
    height, width = shape
    filled = np.zeros(shape, np.bool_)
    rings = [ring for rings in polygons for ring in rings]
    if not rings:
        return filled
    owner = np.repeat(
        [number for number, rings in enumerate(polygons) for _ in rings], [len(ring) for ring in rings]
    )
    start = np.concatenate(rings).clip(-FARTHEST, FARTHEST)
    end = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings]).clip(-FARTHEST, FARTHEST)
    # in units of pixels, with pixel centres at whole numbers
    (x0, y0), (x1, y1) = ((points - corner).T / np.reshape(scale, (2, 1)) - 0.5 for points in (start, end))
    # the rows y with min(y0, y1) <= y < max(y0, y1)
    first = np.ceil(np.minimum(y0, y1)).clip(0, height).astype(np.int64)
    last = np.ceil(np.maximum(y0, y1)).clip(0, height).astype(np.int64)
    slope = np.divide(x1 - x0, y1 - y0, out=np.zeros_like(x0), where=y0 != y1)
    for top, bottom in _bands(first, last, height):
        low, high = np.maximum(first, top), np.minimum(last, bottom)
        edges = np.flatnonzero(low < high)
        if not len(edges):
            continue
        count = (high - low)[edges]
        edge = np.repeat(edges, count)
        row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + low[edge]
        x = x0[edge] + (row - y0[edge]) * slope[edge]
        column = np.ceil(x).clip(0, width).astype(np.int64)
        # a row crosses a polygon's outline an even number of times: in, out, in, out
        size = (bottom - top) * (width + 1)
        crossings = np.sort(owner[edge] * size + (row - top) * (width + 1) + column) % size
        steps = np.zeros(size, np.int32)
        np.add.at(steps, crossings[0::2], 1)
        np.add.at(steps, crossings[1::2], -1)
        np.cumsum(steps, dtype=np.int32, out=steps)  # over all rows at once: each adds up to zero
        filled[top:bottom] = steps.reshape(bottom - top, width + 1)[:, :-1] > 0
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
