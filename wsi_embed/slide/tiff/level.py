"""Level of a TIFF slide whose tiles are JPEGs."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wsi_embed.slide.compressed_level import Layout
from wsi_embed.slide.jpeg_level import JpegLevel
from wsi_embed.slide.tiff import tags as tiff
from wsi_embed.slide.tiff.directory import Directory
from wsi_embed.slide.tiff.jpeg import RGB, YCBCR
from wsi_embed.slide.tiff.tags import TiffError
from wsi_embed.slide.tiff.tile_colours import Tiles

JPEG, CHUNKY = 7, 1
MOST_TILES = 1 << 24  # a million by a million pixels, in tiles of 256
MOST_TABLES = 64 * 1024


class TiffLevel(JpegLevel):
    """Directory whose pixels are JPEG tiles of RGB. Several threads may read it.

    Args:
        directory: Directory of the level.

    Raises:
        TiffError: If its pixels are of another kind, or its numbers are invalid.
        SlideError: If some of its tiles are RGB and others YCbCr.
        OSError: If the file cannot be read.
    """

    def __init__(self, directory: Directory) -> None:
        self._file = directory.file
        layout = directory_layout(directory)
        _check_kind(directory, layout)
        most = min(layout.tiles, MOST_TILES)
        self._offsets = directory.numbers(tiff.TILE_OFFSETS, most)
        self._sizes = directory.tile_sizes(most)
        if not len(self._offsets) == len(self._sizes) == layout.tiles:
            raise TiffError(f"{len(self._offsets)} and {len(self._sizes)} places of {layout.tiles} tiles")
        try:
            tables = directory.bytes(tiff.JPEG_TABLES, MOST_TABLES)
            super().__init__(layout, directory.number(tiff.PHOTOMETRIC), tables)
            if len(there := np.flatnonzero(~self.missing)):
                self._decoder.check(self._stored(int(there[0])))
            self._find_colours()
        except ValueError as error:
            raise TiffError(str(error)) from error

    @functools.cached_property
    def missing(self) -> npt.NDArray[np.bool_]:
        """Whether each tile is missing in the file, bool [tiles]."""
        return np.asarray(self._sizes == 0)

    def _find_colours(self) -> None:
        sides = self.layout.tile_width, self.layout.tile_height
        tiles = Tiles(self._file, self._offsets, self._sizes)
        found = tiles.jpeg_colours(self._tables, self.said, *sides)
        if found.mixed:
            raise self._mixed(self._file.path, "some of its JPEG tiles hold RGB and others YCbCr")
        (colours,) = found.held
        self._use(colours, found.marks)

    def _stored(self, tile: int) -> bytes:
        size = int(self._sizes[tile])
        self._check_bytes(size)
        return self._file.read(int(self._offsets[tile]), size)

    def _place(self, tile: int) -> tuple[Path, str]:
        return self._file.path, f"tile {tile}"


def directory_layout(directory: Directory) -> Layout:
    """Return the layout of the tiles of a directory, which may be impossible.

    Raises:
        TiffError: If a tag is invalid.
        OSError: If the file cannot be read.
    """
    codes = (tiff.IMAGE_WIDTH, tiff.IMAGE_LENGTH, tiff.TILE_WIDTH, tiff.TILE_LENGTH)
    return Layout(*map(directory.number, codes))


def _check_kind(directory: Directory, layout: Layout) -> None:
    if directory.number(tiff.COMPRESSION) != JPEG:
        raise TiffError("its tiles are no JPEGs")
    bits = directory.numbers(tiff.BITS_PER_SAMPLE, 3).tolist()
    samples = directory.number(tiff.SAMPLES_PER_PIXEL)
    if (samples, bits) != (3, [8] * 3) or directory.number(tiff.PHOTOMETRIC) not in (RGB, YCBCR):
        raise TiffError("its pixels are not RGB of 8 bits")
    kinds = ((tiff.PLANAR_CONFIGURATION, CHUNKY), (tiff.FILL_ORDER, 1))
    if any(directory.number(code, usual) != usual for code, usual in kinds):
        raise TiffError("its pixels are in an unusual order")
    if not layout.usual:
        raise TiffError(str(layout))
