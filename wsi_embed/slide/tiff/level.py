"""Level of a TIFF slide: the layout of its JPEG tiles on the level and in the file."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from wsi_embed.errors import SlideError
from wsi_embed.slide.base import UInt8Array, unreadable
from wsi_embed.slide.photometric import NAMES, jpeg_colours, marked_colours
from wsi_embed.slide.tiff import directory as tiff
from wsi_embed.slide.tiff.directory import Directory, TiffError
from wsi_embed.slide.tiff.jpeg import RGB, YCBCR, JpegDecoder
from wsi_embed.slide.tiff.tile_colours import Tiles

JPEG, CHUNKY = 7, 1
LONGEST_TILE = 4096
MOST_TILES = 1 << 24  # a million by a million pixels, in tiles of 256
MOST_TABLES = 64 * 1024
# A JPEG is never much larger than its pixels: larger tiles are not read.
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


class JpegLevel:
    """Directory whose pixels are JPEG tiles of RGB. Several threads may read it.

    Args:
        directory: Directory of the level.

    Attributes:
        layout: Layout of the tiles.
        missing: Whether each tile is missing in the file, bool [tiles].
        said: Colours of the tiles according to the directory, RGB or YCBCR.
        colours: Actual colours of the tiles, RGB or YCBCR.

    Raises:
        TiffError: If its pixels are of another kind, or its numbers are invalid.
        SlideError: If some of its tiles are RGB and others YCbCr.
        OSError: If the file cannot be read.
    """

    def __init__(self, directory: Directory) -> None:
        self._file = directory.file
        sizes = (tiff.IMAGE_WIDTH, tiff.IMAGE_LENGTH, tiff.TILE_WIDTH, tiff.TILE_LENGTH)
        self.layout = layout = Layout(*map(directory.number, sizes))
        self._check_kind(directory)
        most = min(layout.tiles, MOST_TILES)
        self._offsets = directory.numbers(tiff.TILE_OFFSETS, most)
        self._sizes = directory.tile_sizes(most)
        if not len(self._offsets) == len(self._sizes) == layout.tiles:
            raise TiffError(f"{len(self._offsets)} and {len(self._sizes)} places of {layout.tiles} tiles")
        self.missing = self._sizes == 0
        self._scratch = threading.local()
        try:
            self._tables = directory.bytes(tiff.JPEG_TABLES, MOST_TABLES)
            self.said = self.colours = directory.number(tiff.PHOTOMETRIC)
            self._decoder = self._decoder_of(self.said)
            if len(there := np.flatnonzero(~self.missing)):
                self._decoder.check(self._stored(int(there[0])))
            self._find_colours()
        except ValueError as error:
            raise TiffError(str(error)) from error

    def _find_colours(self) -> None:
        sides = self.layout.tile_width, self.layout.tile_height
        tiles = Tiles(self._file, self._offsets, self._sizes)
        found = tiles.jpeg_colours(self._tables, self.said, *sides)
        if found.mixed:
            raise self._mixed("some of its JPEG tiles hold RGB and others YCbCr")
        (self.colours,), self._marks = found.held, found.marks
        if self.colours != self.said:
            self._decoder = self._decoder_of(self.colours)

    def _decoder_of(self, colours: int) -> JpegDecoder:
        return JpegDecoder(self._tables, colours, self.layout.tile_width, self.layout.tile_height)

    def _mixed(self, what: str) -> SlideError:
        return SlideError(
            f"{what} ({self.layout.width} x {self.layout.height} pixels), but a TIFF has one word for all",
            where=self._file.path,
            remedy="write it again from the scan, with tiles of one kind",
        )

    def _check_kind(self, directory: Directory) -> None:
        layout = self.layout
        if directory.number(tiff.COMPRESSION) != JPEG:
            raise TiffError("its tiles are no JPEGs")
        bits = directory.numbers(tiff.BITS_PER_SAMPLE, 3).tolist()
        samples = directory.number(tiff.SAMPLES_PER_PIXEL)
        if (samples, bits) != (3, [8] * 3) or directory.number(tiff.PHOTOMETRIC) not in (RGB, YCBCR):
            raise TiffError("its pixels are not RGB of 8 bits")
        kinds = ((tiff.PLANAR_CONFIGURATION, CHUNKY), (tiff.FILL_ORDER, 1))
        if any(directory.number(code, usual) != usual for code, usual in kinds):
            raise TiffError("its pixels are in an unusual order")
        if min(layout.width, layout.height) < 1 or not all(
            8 <= side <= LONGEST_TILE for side in (layout.tile_width, layout.tile_height)
        ):
            raise TiffError(
                f"{layout.width} x {layout.height} pixels in tiles of "
                f"{layout.tile_width} x {layout.tile_height}"
            )

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), pixels."""
        return self.layout.width, self.layout.height

    def decode(self, tile: int, out: UInt8Array) -> None:
        """Decode one tile that is not missing.

        Args:
            tile: Number of the tile in row-major order.
            out: Array for the pixels; see `JpegDecoder.decode`.

        Raises:
            SlideError: If the tile is damaged, or has other colours than the first tiles.
        """
        try:
            data = self._stored(tile)
            self._decoder.decode(data, out)
            other = self._is_other(data)
        except (ValueError, OSError) as error:
            raise unreadable(self._file.path, f"tile {tile}: {error}") from error
        if other:
            held = NAMES[self.colours]
            raise self._mixed(f"its JPEG tile {tile} does not hold {held} as those do that were looked at")

    def _is_other(self, data: bytes) -> bool:
        """Return whether a tile is marked, and also looks, as if it had other colours than the level."""
        mark = marked_colours(data)
        if mark in {None, self.colours, *self._marks}:
            return False
        sides = self.layout.tile_width, self.layout.tile_height
        return jpeg_colours([data], self._tables, self.said, *sides) != {self.colours}

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

    def _stored(self, tile: int) -> bytes:
        """Return a tile as stored in the file."""
        size = int(self._sizes[tile])
        most = 2 * self.layout.tile_bytes + MOST_OVERHEAD
        if size > most:
            raise ValueError(f"{size} bytes for {self.layout.tile_width} x {self.layout.tile_height} pixels")
        return self._file.read(int(self._offsets[tile]), size)
