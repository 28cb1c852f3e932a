"""Level whose tiles are JPEGs of RGB, whatever file they are in."""

from __future__ import annotations

import abc
from collections.abc import Collection
from pathlib import Path

from wsi_embed.errors import SlideError
from wsi_embed.slide.base import UInt8Array, unreadable
from wsi_embed.slide.colour.photometric import NAMES, jpeg_colours, marked_colours
from wsi_embed.slide.compressed_level import MOST_OVERHEAD, CompressedLevel, Layout
from wsi_embed.slide.tiff.jpeg import JpegDecoder


class JpegLevel(CompressedLevel):
    """Level of JPEG tiles.

    Args:
        layout: Layout of the tiles.
        said: Colours of the tiles according to the metadata, RGB or YCBCR.
        tables: Shared JPEG tables; may be empty.

    Attributes:
        said: Colours of the tiles according to the metadata, RGB or YCBCR.
        colours: Actual colours of the tiles, RGB or YCBCR.

    Raises:
        ValueError: If the tables are broken.
    """

    def __init__(self, layout: Layout, said: int, tables: bytes = b"") -> None:
        super().__init__(layout)
        self.said = self.colours = said
        self._tables = tables
        self._marks: Collection[int | None] = ()
        self._decoder = self._decoder_of(said)

    def _use(self, colours: int, marks: Collection[int | None]) -> None:
        """Use the actual colours of the tiles, and the marks of those that were looked at."""
        self.colours, self._marks = colours, marks
        if colours != self.said:
            self._decoder = self._decoder_of(colours)

    def _decoder_of(self, colours: int) -> JpegDecoder:
        return JpegDecoder(self._tables, colours, self.layout.tile_width, self.layout.tile_height)

    @abc.abstractmethod
    def _stored(self, tile: int) -> bytes:
        """Return a tile as stored in the file.

        Raises:
            ValueError: If the file has no such part, or the tile is too large.
            OSError: If the file cannot be read.
        """

    @abc.abstractmethod
    def _place(self, tile: int) -> tuple[Path, str]:
        """Return the file that holds a tile, and what messages call the tile."""

    @property
    def _most_bytes(self) -> int:
        """Largest compressed size of a tile."""
        return 2 * self.layout.tile_bytes + MOST_OVERHEAD

    def _check_bytes(self, size: int) -> None:
        if size > self._most_bytes:
            raise ValueError(f"{size} bytes for {self.layout.tile_width} x {self.layout.tile_height} pixels")

    def _mixed(self, path: Path, what: str) -> SlideError:
        return SlideError(
            f"{what} ({self.layout.width} x {self.layout.height} pixels), but its metadata have one word for "
            "all",
            where=path,
            remedy="write it again from the scan, with tiles of one kind",
        )

    def decode(self, tile: int, out: UInt8Array) -> None:
        """Decode one tile that is not missing; see `CompressedLevel.decode`.

        Raises:
            SlideError: If the tile is damaged, or has other colours than the first tiles.
        """
        try:
            data = self._stored(tile)
            self._decoder.decode(data, out)
            other = self._is_other(data)
        except (ValueError, OSError) as error:
            path, name = self._place(tile)
            raise unreadable(path, f"{name}: {error}") from error
        if other:
            path, name = self._place(tile)
            held = NAMES[self.colours]
            raise self._mixed(path, f"its JPEG {name} does not hold {held} as those do that were looked at")

    def _is_other(self, data: bytes) -> bool:
        """Return whether a tile is marked, and also looks, as if it had other colours than the level."""
        mark = marked_colours(data)
        if mark in {None, self.colours, *self._marks}:
            return False
        sides = self.layout.tile_width, self.layout.tile_height
        return jpeg_colours([data], self._tables, self.said, *sides) != {self.colours}
