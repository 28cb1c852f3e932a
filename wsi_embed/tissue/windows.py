"""Windows into which a view is divided for a segmentation network."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from wsi_embed.slide.base import UInt8Array

WINDOW = 1024  # side of the windows for networks that accept any size
OVERLAP = 64  # overlap of adjacent windows, so that pixels near a border come from the other window
MULTIPLE = 32  # sides are multiples of this, as networks halve their input up to five times


@dataclass(frozen=True)
class Window:
    """Part of a view.

    Attributes:
        pixels: Its pixels, padded with white, uint8 [side_y, side_x, 3].
        target: Rows and columns of the view that are taken from this window.
        source: The same rows and columns within the window.
    """

    pixels: UInt8Array
    target: tuple[slice, slice]
    source: tuple[slice, slice]


def windows(view: UInt8Array, fixed: Sequence[int | None]) -> Iterator[Window]:
    """Divide a view into overlapping windows; a pixel is taken from the window whose centre is nearer.

    Args:
        view: RGB, uint8 [h, w, 3].
        fixed: Height and width that the network demands; None for any.
    """
    height, width = view.shape[:2]
    side_y, side_x = (
        side or min(WINDOW, -(-length // MULTIPLE) * MULTIPLE)
        for side, length in zip(fixed, (height, width), strict=True)
    )
    padded = np.full((max(height, side_y), max(width, side_x), 3), 255, np.uint8)
    padded[:height, :width] = view
    for y, (top, bottom) in starts(padded.shape[0], side_y):
        for x, (left, right) in starts(padded.shape[1], side_x):
            rows, columns = slice(top, min(bottom, height)), slice(left, min(right, width))
            yield Window(
                padded[y : y + side_y, x : x + side_x],
                (rows, columns),
                (slice(rows.start - y, rows.stop - y), slice(columns.start - x, columns.stop - x)),
            )


def starts(length: int, side: int) -> list[tuple[int, tuple[int, int]]]:
    """Return the start of each window along one axis, and the part of the axis taken from it."""
    overlap = min(OVERLAP, side // 4)
    count = 1 if length <= side else -(-(length - overlap) // (side - overlap))
    first = np.rint(np.linspace(0, length - side, count)).astype(int).tolist()
    cuts = [0] + [(a + side + b) // 2 for a, b in itertools.pairwise(first)] + [length]
    return [(start, (cuts[i], cuts[i + 1])) for i, start in enumerate(first)]
