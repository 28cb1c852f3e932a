"""Colours of the tiles of a TIFF image, detected from a sample once per file and process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wsi_embed.slide.colour.photometric import (
    jpeg2000_colours,
    jpeg_colours,
    marked_colours,
    other_samples,
    sample_tiles,
)
from wsi_embed.slide.tiff.directory import TiffFile
from wsi_embed.slide.tiff.jpeg import RGB, YCBCR
from wsi_embed.slide.tiff.tags import TiffError

Int64Array = npt.NDArray[np.int64]
LARGEST_TILE = 1 << 24  # bytes
MOST_KNOWN = 65536
# By file (path, size, time), offset of the first tile, and the metadata.
_KNOWN: dict[tuple[object, ...], TileColours] = {}


@dataclass(frozen=True)
class TileColours:
    """Colours of tiles.

    Attributes:
        held: RGB, YCBCR, or both if tiles differ.
        marks: Colours according to their codestreams: RGB, YCBCR, or None without a mark.
        samples: Descriptions of samples of JPEG 2000 that are not unsigned with 8 bits.
    """

    held: frozenset[int]
    marks: frozenset[int | None] = frozenset()
    samples: frozenset[str] = frozenset()

    @property
    def mixed(self) -> bool:
        """Whether some tiles are RGB and others YCbCr."""
        return self.held == {RGB, YCBCR}


@dataclass(frozen=True)
class Tiles:
    """Tiles of an image.

    Attributes:
        file: The TIFF.
        offsets: Offset of each tile in the file, int64 [tiles].
        sizes: Size of each tile in bytes, int64 [tiles]; 0 for missing tiles.
    """

    file: TiffFile
    offsets: Int64Array
    sizes: Int64Array

    def jpeg_colours(self, tables: bytes, said: int, width: int, height: int) -> TileColours:
        """Detect the colours of JPEG tiles; for arguments see `photometric.jpeg_colours`.

        Raises:
            OSError: If the file cannot be read.
        """

        def find() -> TileColours:
            marks = dict[bytes, int | None]()
            for tile in self._some():
                try:
                    marks[tile] = marked_colours(tile)
                except ValueError:  # damaged: reported when it is read
                    continue
            held = jpeg_colours(marks, tables, said, width, height)
            return TileColours(frozenset(held or {said}), frozenset(marks.values()))

        return self._known(find, said, width, height)

    def jpeg2000_colours(self, said: int) -> TileColours:
        """Detect the colours of JPEG 2000 tiles, after undoing their colour transform.

        Args:
            said: RGB or YCBCR according to the metadata.

        Raises:
            OSError: If the file cannot be read.
        """

        def find() -> TileColours:
            tiles = self._some()
            held = frozenset(jpeg2000_colours(tiles, said) or {said})
            return TileColours(held, samples=frozenset(filter(None, map(other_samples, tiles))))

        return self._known(find, said)

    def _some(self) -> list[bytes]:
        found = []
        for tile in sample_tiles(self.sizes[: len(self.offsets)]):
            try:
                if self.sizes[tile] <= LARGEST_TILE:
                    found.append(self.file.read(int(self.offsets[tile]), int(self.sizes[tile])))
            except TiffError:  # beyond the end of the file
                continue
        return found

    def _known(self, find: Callable[[], TileColours], *said: int) -> TileColours:
        first = int(np.argmax(self.sizes > 0)) if len(self.sizes) else 0
        key = (self.file.state, *self.offsets[first : first + 1].tolist(), *said)
        if key not in _KNOWN:
            if len(_KNOWN) >= MOST_KNOWN:
                _KNOWN.clear()
            _KNOWN[key] = find()
        return _KNOWN[key]
