"""The picture that all slides of OME-TIFF and DICOM show, and whether a tile shows the right part of it.

Its colours say where a pixel lies, so that the picture alone tells whether a tile lies where its coordinates
say, whichever level it was read from, and however its file was mutated.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from tests.fuzz.case import WrongContentError
from wsi_embed.slide import UInt8Array

WIDTH, HEIGHT, MPP = 600, 500, 0.5
FACTORS = (1, 2, 4)
# Pixels of the level by which a tile may lie beside its place: sizes of levels are rounded.
MOST_SHIFT = 1.5
PERIODS, RANGE = (160, 130, 220), 200
GRADIENT = 2 * RANGE / min(PERIODS)
LOSS = 5.0  # of JPEG and resampling, grey values on average


def _wave(positions: npt.NDArray[np.float64], period: int) -> npt.NDArray[np.float64]:
    """Return a triangle wave from 0 to 1."""
    return np.abs((positions / period) % 1 * 2 - 1)


def _draw() -> UInt8Array:
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    red, green, blue = (_wave(v, p) for v, p in zip((x, y, x + y), PERIODS, strict=True))
    return np.asarray(20 + RANGE * np.stack([red, green, blue], axis=-1), np.uint8)


PICTURE = _draw()


def level0_factor(size: tuple[int, int]) -> int:
    """Return how many pixels of the picture a level-0 pixel is, by the size of level 0.

    A slide that lost its finest level is one of the next.
    """
    return next((f for f in FACTORS if size == (WIDTH // f, HEIGHT // f)), 1)


def check_tile(
    tile: UInt8Array, corner: tuple[float, float], extent: tuple[float, float], level_pixel: float
) -> None:
    """Check a tile against the picture; where it sticks out of it nothing is known.

    Args:
        tile: RGB, uint8 [n, n, 3].
        corner: (x, y) of its top-left corner, pixels of the picture.
        extent: (width, height), pixels of the picture.
        level_pixel: Side of a pixel of the level it was read from, pixels of the picture.

    Raises:
        WrongContentError: It shows something else.
    """
    left, top = (round(value) for value in corner)
    right, bottom = (round(c + e) for c, e in zip(corner, extent, strict=True))
    if left < 0 or top < 0 or right > WIDTH or bottom > HEIGHT:
        return
    size = tile.shape[1::-1]
    expected = cv2.resize(PICTURE[top:bottom, left:right], size, interpolation=cv2.INTER_AREA)
    error = np.abs(tile.astype(np.int16) - expected).mean(axis=(0, 1)).max()
    if error > LOSS + MOST_SHIFT * level_pixel * GRADIENT:
        raise WrongContentError(
            f"the tile at {corner} of {extent} pixels is wrong by {error:.1f} grey values"
        )
