"""Tiles of a grid, read by several threads at once."""

from __future__ import annotations

from typing import Protocol, Self

import cv2
import numpy as np
import numpy.typing as npt

from wsi_embed.grid import TileGrid

UInt8Array = npt.NDArray[np.uint8]


class Levels(Protocol):
    """Object with levels of which regions can be read, such as a slide."""

    def read(self, level: int, x: int, y: int, w: int, h: int) -> UInt8Array:
        """Read a region of a level; see `Slide.read`."""


class TileStream:
    """Reader of the tiles of a grid, for any number of threads. Read each row once, roughly in order.

    Readers that decode each compressed tile only once return a subclass.

    Args:
        slide: Open slide.
        grid: Tiles to read.
    """

    def __init__(self, slide: Levels, grid: TileGrid) -> None:
        self._slide, self._grid = slide, grid
        self._corners: list[list[int]] = grid.level_xy.tolist()

    def read(self, row: int, out: UInt8Array) -> None:
        """Read one tile.

        Args:
            row: Row of the grid.
            out: Array for the tile, uint8 [tile_px, tile_px, 3].

        Raises:
            SlideError: If the tile cannot be decoded.
        """
        n = self._grid.read_px
        x, y = self._corners[row]
        resample(self._slide.read(self._grid.level, x, y, n, n), out)

    def close(self) -> None:
        """Release cached data; the slide stays open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def resample(pixels: UInt8Array, out: UInt8Array) -> None:
    """Resample a square of pixels to the size of `out` by area averages; copy it if the sizes are equal."""
    if pixels.shape == out.shape:
        out[:] = pixels
    else:
        cv2.resize(pixels, out.shape[1::-1], dst=out, interpolation=cv2.INTER_AREA)
