"""Slides of which this package decodes some levels itself, and leaves the others to OpenSlide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wsi_embed.slide.base import UInt8Array
from wsi_embed.slide.compressed_level import CompressedLevel
from wsi_embed.slide.decode_once import DecodeOnce
from wsi_embed.slide.openslide.slide import OpenSlideSlide
from wsi_embed.slide.stream import TileStream
from wsi_embed.slide.wrapped import WrappedSlide

if TYPE_CHECKING:
    from wsi_embed.grid import TileGrid

DCT_SCALES = (8, 4, 2)


class DecodedSlide(WrappedSlide[OpenSlideSlide]):
    """Slide with the metadata of OpenSlide, and levels of compressed tiles that are decoded once.

    Args:
        slide: The slide as OpenSlide opened it; closed together with this one.
    """

    # Levels that are decoded directly; None for those that OpenSlide reads.
    _levels: Sequence[CompressedLevel | None]

    def _read(self, level: int, x: int, y: int, w: int, h: int) -> UInt8Array:
        own = self._levels[level]
        # `_read`, because it is this slide that compares the levels
        return self._slide._read(level, x, y, w, h) if own is None else own.read(x, y, w, h)

    def _stream(self, grid: TileGrid) -> TileStream:
        own = self._levels[grid.level]
        return TileStream(self, grid) if own is None else DecodeOnce(self, grid, own)

    def dct_scales(self, level: int) -> list[int]:
        """Return the reduced sizes (8 for 1/8) at which the level can be decoded directly, smallest first."""
        own = self._levels[level]
        if own is None:
            return []
        sides = own.layout.tile_width, own.layout.tile_height
        return [scale for scale in DCT_SCALES if not any(side % scale for side in sides)]
