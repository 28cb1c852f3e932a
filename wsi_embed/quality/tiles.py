"""Measurement of the tiles of a slide, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_embed.grid import TileGrid
from wsi_embed.quality.colours import balanced, block_colours, blocks_across, darkness, pen_shares
from wsi_embed.quality.focus import focus, reduction
from wsi_embed.quality.measures import BLURRED, MEASURES
from wsi_embed.slide.base import UInt8Array
from wsi_embed.tissue.glass import NEUTRAL, Colour

Float32Array = npt.NDArray[np.float32]


class TileQuality:
    """Quality of the tiles of a slide. Several threads may measure different tiles at once.

    Attributes:
        arrays: Values by measure, float32 [N]; NaN for tiles that are not measured yet.

    Args:
        grid: Tiles of the slide.
        glass: Colour of the slide's glass, by which colours are divided; None for a typical one.
    """

    def __init__(self, grid: TileGrid, glass: Colour | None = None) -> None:
        mpp = grid.plan.effective_mpp
        self._factor = reduction(mpp)
        self._across = blocks_across(grid.tile_px, mpp)
        self._glass = glass or NEUTRAL
        self.focus_mpp = mpp * self._factor
        self.arrays: dict[str, Float32Array] = {
            name: np.full(len(grid), np.nan, np.float32) for name in MEASURES
        }

    def measure(self, start: int, tiles: UInt8Array) -> None:
        """Measure consecutive tiles.

        Args:
            start: Row of the first.
            tiles: Tiles, uint8 [B, tile_px, tile_px, 3].
        """
        if not len(tiles):
            return
        rows = slice(start, start + len(tiles))
        blocks = balanced(np.stack([block_colours(tile, self._across) for tile in tiles]), self._glass)
        self.arrays["focus"][rows] = [focus(tile, self._factor) for tile in tiles]
        self.arrays["pen"][rows] = pen_shares(blocks)
        self.arrays["dark"][rows] = darkness(blocks)

    def attributes(self, unreadable: Sequence[int] = ()) -> dict[str, Any]:
        """Return what a store records about the measures of a slide, as JSON values.

        Args:
            unreadable: Rows of tiles that were taken as white. They have values like others, but say nothing
                about the slide.
        """
        read = np.ones(len(self.arrays["focus"]), np.bool_)
        read[list(unreadable)] = False
        values = self.arrays["focus"][read]
        return {
            "arrays": list(self.arrays),
            "focus_mpp": round(self.focus_mpp, 6),
            "focus": round(float(np.median(values)), 3) if len(values) else None,
            "blurred": round(float((values < BLURRED).mean()), 4) if len(values) else 0.0,
        }
