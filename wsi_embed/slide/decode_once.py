"""Tiles of a grid from a level stored in tiles, each decoded once, however the grid is aligned with them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from wsi_embed.errors import SlideError
from wsi_embed.slide.compressed_level import Layout
from wsi_embed.slide.stream import TileStream, resample

if TYPE_CHECKING:
    from wsi_embed.grid import TileGrid
    from wsi_embed.slide.base import Slide, UInt8Array

# Limit for decoded tiles: a row of tiles of 512 pixels on a slide of 100,000 pixels takes 150 MB. Tiles that
# do not fit are decoded again when they are needed again.
MOST_BYTES = 256 * 1024 * 1024


class StoredLevel(Protocol):
    """Level stored in tiles, such as JPEGs or the chunks of an array. Several threads may decode them."""

    @property
    def layout(self) -> Layout:
        """Layout of the tiles."""

    @property
    def missing(self) -> npt.NDArray[np.bool_]:
        """Whether each tile is missing in the file, bool [tiles]."""

    def decode(self, tile: int, out: UInt8Array) -> None:
        """Decode one tile that is not missing; see `CompressedLevel.decode`."""


class DecodeOnce(TileStream):
    """Tile reader that keeps each decoded tile until the last row of the grid that needs it was read.

    With rows in order that is about one row of tiles, which threads share. If tiles are resampled by an
    integer, and are aligned such that no pixel spans two of the file's tiles, the file's tiles are resampled
    before they are kept: the same pixels in less memory.

    Args:
        slide: Open slide.
        grid: Tiles to read.
        level: Level of the grid.
    """

    def __init__(self, slide: Slide, grid: TileGrid, level: StoredLevel) -> None:
        super().__init__(slide, grid)
        scale = grid.plan.dct_scale
        factor = scale * _whole_factor(grid, level.layout)
        if (grid.level_xy % scale).any():
            raise ValueError(f"tiles do not begin at multiples of {scale} pixels")
        self._level, self._factor = level, factor
        self._decoded, self._layout = level.layout.shrunk(scale), level.layout.shrunk(factor)
        self._left = _needs(grid, level.layout)
        self._lock = threading.Lock()
        self._asked = bytearray(len(grid))
        self._kept: dict[int, _Kept] = {}
        self._free: list[UInt8Array] = []
        self._most = max(1, MOST_BYTES // self._layout.tile_bytes)
        self._own = threading.local()

    def read(self, row: int, out: UInt8Array) -> None:
        """Read one tile; see `TileStream`.

        Raises:
            SlideError: If the tile cannot be decoded.
            ValueError: If the row was read before.
        """
        with self._lock:
            if self._asked[row]:
                raise ValueError(f"row {row} was read before")
            self._asked[row] = True
        n = self._grid.read_px // self._factor
        x, y = (at // self._factor for at in self._corners[row])
        square = out if len(out) == n else self._buffer("square", (n, n, 3))
        parts = list(self._layout.parts(x, y, n, n))
        if min(x, y) < 0 or x + n > self._layout.width or y + n > self._layout.height:
            square[:] = 255
        try:
            for tile, window, part in parts:
                square[window] = 255 if self._level.missing[tile] else self._pixels(tile)[part]
        finally:
            self._done_with([tile for tile, _, _ in parts])
        if square is not out:
            resample(square, out)

    def _pixels(self, tile: int) -> UInt8Array:
        """Return a decoded tile. The first thread decodes it, others wait for it."""
        with self._lock:
            kept = self._kept.get(tile)
            if kept is None:
                kept = _Kept()
                if len(self._kept) < self._most:
                    self._kept[tile] = kept
        with kept.lock:
            if kept.pixels is None and kept.error is None:
                try:
                    kept.pixels = self._decode(tile)
                except SlideError as error:
                    kept.error = error
            if kept.error is not None:
                raise kept.error.replace() from kept.error  # each thread its own
            assert kept.pixels is not None
            return kept.pixels

    def _decode(self, tile: int) -> UInt8Array:
        try:
            pixels = self._free.pop()
        except IndexError:
            pixels = np.empty(self._layout.tile_shape, np.uint8)
        if self._decoded == self._layout:
            self._level.decode(tile, pixels)
        else:
            decoded = self._buffer("decoded", self._decoded.tile_shape)
            self._level.decode(tile, decoded)
            resample(decoded, pixels)
        return pixels

    def _done_with(self, tiles: list[int]) -> None:
        """Release tiles that no further row needs; all users have copied their part."""
        with self._lock:
            for tile in tiles:
                self._left[tile] -= 1
                if not self._left[tile]:
                    kept = self._kept.pop(tile, None)
                    if kept is not None and kept.pixels is not None:
                        self._free.append(kept.pixels)

    def _buffer(self, name: str, shape: tuple[int, int, int]) -> UInt8Array:
        """Return a per-thread buffer for a purpose: allocating memory takes as long as decoding a tile."""
        buffer: UInt8Array | None = getattr(self._own, name, None)
        if buffer is None:
            buffer = np.empty(shape, np.uint8)
            setattr(self._own, name, buffer)
        return buffer

    def close(self) -> None:
        """Release cached data; the slide stays open."""
        with self._lock:
            self._kept.clear()
            self._free.clear()


class _Kept:
    """Decoded tile, or the error from decoding it."""

    __slots__ = ("error", "lock", "pixels")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.pixels: UInt8Array | None = None
        self.error: SlideError | None = None


def _whole_factor(grid: TileGrid, layout: Layout) -> int:
    """Return the integer by which the file's tiles can be resampled so that nothing is left to resample.

    1 if there is none.
    """
    size, scale = grid.plan.decoded_px, grid.plan.dct_scale
    factor = max(1, size // grid.tile_px)
    total = factor * scale
    corners = grid.level_xy
    whole = size % grid.tile_px == 0 and not (corners % total).any()
    whole = whole and layout.tile_width % total == 0 and layout.tile_height % total == 0
    # beyond the edge is white, so a pixel may be half white
    ends = corners + grid.read_px
    inside = (corners >= 0).all() and (ends <= (layout.width, layout.height)).all()
    return factor if whole and inside else 1


def _needs(grid: TileGrid, layout: Layout) -> npt.NDArray[np.int32]:
    """Return the number of grid rows that need each of the file's tiles, int32 [tiles]."""
    size = np.array((layout.width, layout.height))
    tile = np.array((layout.tile_width, layout.tile_height))
    start, end = np.clip(grid.level_xy, 0, size), np.clip(grid.level_xy + grid.read_px, 0, size)
    some = (start < end).all(1)
    (x0, y0), (x1, y1) = (start[some] // tile).T, ((end[some] - 1) // tile + 1).T
    # two-dimensional cumulative sum: +1 and -1 at the corners of each rectangle
    steps = np.zeros((layout.down + 1, layout.across + 1), np.int32)
    for y, x, step in ((y0, x0, 1), (y0, x1, -1), (y1, x0, -1), (y1, x1, 1)):
        np.add.at(steps, (y, x), step)
    return np.asarray(steps.cumsum(0).cumsum(1)[:-1, :-1].ravel(), np.int32)
