"""Level of JPEG 2000 tiles, each of which OpenSlide decodes once.

Decoding such a tile takes longer than everything else, and OpenSlide's cache of 32 MB holds two rows of tiles
of 16,000 pixels. Other kinds of tiles are decoded in less time than OpenSlide needs to compose a region.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from wsi_embed.slide.compressed_level import CompressedLevel, Layout
from wsi_embed.slide.dicom.instance import dicom_instances
from wsi_embed.slide.tiff import tags as tiff
from wsi_embed.slide.tiff.images import TiffImage
from wsi_embed.slide.tiff.level import directory_layout
from wsi_embed.slide.tiff.tags import TiffError

if TYPE_CHECKING:
    from wsi_embed.slide.base import UInt8Array

# Compression by TIFF tag, and by transfer syntax of DICOM.
TIFF_JPEG2000 = (33003, 33005)
DICOM_JPEG2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")


class OpenSlideLevel(CompressedLevel):
    """Level that OpenSlide reads without interpolation, tile by tile of the file.

    Args:
        layout: Layout of the tiles.
        read: Function that reads a region (x, y, width, height) of the level, uint8 [h, w, 3].
    """

    def __init__(self, layout: Layout, read: Callable[[int, int, int, int], UInt8Array]) -> None:
        super().__init__(layout)
        self._region = read

    @functools.cached_property
    def missing(self) -> npt.NDArray[np.bool_]:
        """Whether each tile is missing, bool [tiles]: none, because OpenSlide returns white for those."""
        return np.zeros(self.layout.tiles, np.bool_)

    def decode(self, tile: int, out: UInt8Array) -> None:
        """Decode one tile, at its own size; see `CompressedLevel.decode`."""
        row, column = divmod(tile, self.layout.across)
        x, y = column * self.layout.tile_width, row * self.layout.tile_height
        w = min(self.layout.tile_width, self.layout.width - x)
        h = min(self.layout.tile_height, self.layout.height - y)
        out[:h, :w] = self._region(x, y, w, h)


def jpeg2000_layout(
    path: Path, vendor: str, images: Sequence[TiffImage], size: tuple[int, int]
) -> Layout | None:
    """Return the layout of a level whose tiles are JPEG 2000; None for other levels.

    Args:
        path: Slide file.
        vendor: OpenSlide's name of the format.
        images: Images of the file, if it is a TIFF.
        size: (width, height) of the level, pixels.
    """
    try:
        found = _dicom_layouts(path, size) if vendor == "dicom" else _tiff_layouts(images, size)
    except (TiffError, OSError):  # reported when pixels are read
        return None
    return found[0] if len(set(found)) == 1 and found[0].usual else None


def _tiff_layouts(images: Sequence[TiffImage], size: tuple[int, int]) -> list[Layout]:
    """Return the layout of the only image of a size, if its tiles are JPEG 2000."""
    alike = [image for image in images if image.facts.size == size]
    if len(alike) != 1 or not alike[0].tiled:
        return []
    compression = alike[0].directory.number(tiff.COMPRESSION)
    return [directory_layout(alike[0].directory)] if compression in TIFF_JPEG2000 else []


def _dicom_layouts(path: Path, size: tuple[int, int]) -> list[Layout]:
    """Return the layouts of the images of a size, if all of their frames are JPEG 2000."""
    parts = [part for part in dicom_instances(path) if part.is_volume and part.matrix == size]
    if any(part.transfer_syntax not in DICOM_JPEG2000 for part in parts):
        return []
    return [Layout(*part.matrix, *part.tile) for part in parts]
