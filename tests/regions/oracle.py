"""Even-odd filling the slow way: a ray from every pixel's centre."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Points = Sequence[Sequence[float]]


def inside(rings: Sequence[Points], x: float, y: float) -> bool:
    """Whether a ray to the right meets the outline an odd number of times."""
    odd = False
    for ring in rings:
        for (x0, y0), (x1, y1) in zip(ring, [*ring[1:], ring[0]], strict=True):
            if (y0 <= y) != (y1 <= y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0):
                odd = not odd
    return odd


def near(rings: Sequence[Points], x: float, y: float) -> bool:
    """Whether a point lies on the outline, give or take rounding."""
    for ring in rings:
        for a, b in zip(ring, [*ring[1:], ring[0]], strict=True):
            p, q, here = np.array(a, float), np.array(b, float), np.array((x, y))
            length = float((q - p) @ (q - p))
            t = np.clip((here - p) @ (q - p) / length, 0, 1) if length else 0.0
            if np.linalg.norm(p + t * (q - p) - here) < 1e-6:
                return True
    return False


def fill(
    polygons: Sequence[Sequence[Points]], shape: tuple[int, int], scale: tuple[float, float] = (1, 1)
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """The union of polygons over pixel centres, and which pixels are sure."""
    filled, sure = np.zeros(shape, bool), np.ones(shape, bool)
    for row in range(shape[0]):
        for column in range(shape[1]):
            x, y = (column + 0.5) * scale[0], (row + 0.5) * scale[1]
            filled[row, column] = any(inside(rings, x, y) for rings in polygons)
            sure[row, column] = not any(near(rings, x, y) for rings in polygons)
    return filled, sure
