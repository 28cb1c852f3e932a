"""Level that is stored as compressed tiles: their layout, and what decodes them."""

from __future__ import annotations

import abc
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wsi_embed.slide.base import UInt8Array

LONGEST_TILE = 4096
# A compressed tile is never much larger than its pixels: larger ones are not read.
MOST_OVERHEAD = 64 * 1024

Window = tuple[slice, slice]


@dataclass(frozen=True)
class Layout:
    """Division of a level into the tiles of the file.

    Attributes:
        width: Width of the level, pixels.
        height: Height of the level, pixels.
        tile_width: Width of the file's tiles, which are whole at the edges too, pixels.
        tile_height: Height of the file's tiles, pixels.
    """

    width: int
    height: int
    tile_width: int
    tile_height: int

    @property
    def across(self) -> int:
        """Number of tiles in a row."""
        return -(-self.width // self.tile_width)

    @property
    def down(self) -> int:
        """Number of rows of tiles."""
        return -(-self.height // self.tile_height)

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return self.across * self.down

    @property
    def tile_shape(self) -> tuple[int, int, int]:
        """(height, width, 3) of a decoded tile."""
        return self.tile_height, self.tile_width, 3

    @property
    def tile_bytes(self) -> int:
        """Size of a decoded tile in bytes."""
        return self.tile_height * self.tile_width * 3

    @property
    def usual(self) -> bool:
        """Whether the level has pixels, and its tiles a size that is decoded."""
        sides = self.tile_width, self.tile_height
        return min(self.width, self.height) >= 1 and all(8 <= side <= LONGEST_TILE for side in sides)

    def __str__(self) -> str:
        return f"{self.width} x {self.height} pixels in tiles of {self.tile_width} x {self.tile_height}"

    def shrunk(self, factor: int) -> Layout:
        """Return the layout at a reduced size; the factor must divide the tiles."""
        sizes = -(-self.width // factor), -(-self.height // factor)
        return Layout(*sizes, self.tile_width // factor, self.tile_height // factor)

    def parts(self, x: int, y: int, w: int, h: int) -> Iterator[tuple[int, Window, Window]]:
        """Yield the parts of a region that are on the level, tile by tile.

        Yields:
            Number of the tile in row-major order, window of the part in the region, and window in the tile.
        """
        tw, th, across = self.tile_width, self.tile_height, self.across
        left, top, right, bottom = max(x, 0), max(y, 0), min(x + w, self.width), min(y + h, self.height)
        if left >= right or top >= bottom:
            return
        for row in range(top // th, (bottom - 1) // th + 1):
            up = row * th
            y0, y1 = max(top, up), min(bottom, up + th)
            for col in range(left // tw, (right - 1) // tw + 1):
                side = col * tw
                x0, x1 = max(left, side), min(right, side + tw)
                region = slice(y0 - y, y1 - y), slice(x0 - x, x1 - x)
                yield row * across + col, region, (slice(y0 - up, y1 - up), slice(x0 - side, x1 - side))


class CompressedLevel(abc.ABC):
    """Level whose tiles this package finds in the file and decodes. Several threads may read it.

    Args:
        layout: Layout of the tiles.

    Attributes:
        layout: Layout of the tiles.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._scratch = threading.local()

    @property
    @abc.abstractmethod
    def missing(self) -> npt.NDArray[np.bool_]:
        """Whether each tile is missing in the file, bool [tiles]."""

    @abc.abstractmethod
    def decode(self, tile: int, out: UInt8Array) -> None:
        """Decode one tile that is not missing.

        Args:
            tile: Number of the tile in row-major order.
            out: Array for the pixels, RGB, uint8 [h, w, 3], of a tile's size, or of 1/2, 1/4 or 1/8 of it if
                the tiles can be decoded at a reduced size.

        Raises:
            SlideError: If the tile is damaged.
        """

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), pixels."""
        return self.layout.width, self.layout.height

    def read(self, x: int, y: int, w: int, h: int) -> UInt8Array:
        """Read a region that lies entirely inside the level: uint8 [h, w, 3]; missing tiles are white.

        Raises:
            SlideError: If a tile cannot be decoded.
        """
        out, decoded = np.empty((h, w, 3), np.uint8), self._own_buffer()
        for tile, region, part in self.layout.parts(x, y, w, h):
            if self.missing[tile]:
                out[region] = 255
            else:
                self.decode(tile, decoded)
                out[region] = decoded[part]
        return out

    def _own_buffer(self) -> UInt8Array:
        """Return a per-thread buffer for a decoded tile: allocating memory takes as long as decoding."""
        if not hasattr(self._scratch, "buffer"):
            self._scratch.buffer = np.empty(self.layout.tile_shape, np.uint8)
        buffer: UInt8Array = self._scratch.buffer
        return buffer
