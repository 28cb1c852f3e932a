"""Reading of the tiles of slides, one region at a time. A slide is opened when it is first read."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openslide

from wsi_embed.errors import SlideError
from wsi_embed.slide import Slide, UInt8Array, open_slide
from wsi_embed.slide.base import unreadable
from wsi_embed.slide.image import ImageSlide
from wsi_embed.slide.openslide.slide import OpenSlideSlide
from wsi_embed_train.data.slides import SlideTiles

MOST_OPEN = 64
# Shared cache of decoded tiles for all open slides; by default OpenSlide uses 32 MB for each slide.
CACHE_BYTES = 64 * 1024 * 1024
# A PNG or JPEG is decoded whole and stays in memory, so it counts as this share of the open slides.
PICTURE_SHARE = 0.5


class OpenSlides:
    """Cache of the most recently used slides, for one thread. Pickling does not keep slides open.

    Args:
        most: Maximum number of open slides.
        reader: Reader of the slides; see `open_slide`.
    """

    def __init__(self, most: int = MOST_OPEN, reader: str = "auto") -> None:
        self._most, self._reader = most, reader
        self._open: OrderedDict[Path, Slide] = OrderedDict()
        self._cache = openslide.OpenSlideCache(CACHE_BYTES)

    def __len__(self) -> int:
        return len(self._open)

    def __reduce__(self) -> tuple[Any, ...]:
        return OpenSlides, (self._most, self._reader)

    def get(self, path: Path) -> Slide:
        """Return the open slide of a path.

        Raises:
            SlideError: If it cannot be opened.
        """
        if path not in self._open:
            try:
                self._open[path] = slide = open_slide(path, self._reader)
            except OSError as error:
                raise unreadable(path, error) from error
            if isinstance(slide, OpenSlideSlide):
                slide.share_cache(self._cache)
        self._open.move_to_end(path)
        while len(self._open) > 1 and sum(map(self._weight, self._open.values())) > self._most:
            self._open.popitem(last=False)[1].close()
        return self._open[path]

    def close(self) -> None:
        """Close all slides; `get` reopens them."""
        while self._open:
            self._open.popitem()[1].close()

    def _weight(self, slide: Slide) -> float:
        return self._most * PICTURE_SHARE if isinstance(slide, ImageSlide) else 1


def read_together(
    slides: OpenSlides, tiles: SlideTiles, rows: Sequence[int], shift: tuple[int, int]
) -> list[UInt8Array | SlideError]:
    """Read the tiles of one region by a single read.

    If that read fails, each tile is read separately.

    Args:
        slides: Cache of open slides.
        tiles: Tiles of the slide.
        rows: Rows of the tiles to read.
        shift: Displacement (x, y) of the tiles, pixels of the read level.

    Returns:
        For each row the tile, uint8 [tile_px, tile_px, 3], or the error if it cannot be read.
    """
    corners = tiles.level_xy[rows] + np.array(shift, np.int32)
    left, top = corners.min(0).tolist()
    width, height = (corners.max(0) - (left, top) + tiles.read_px).tolist()
    try:
        region = slides.get(tiles.item.path).read(tiles.level, left, top, width, height)
    except SlideError as error:
        if len(rows) == 1:
            return [error]
        return [read_together(slides, tiles, [row], shift)[0] for row in rows]
    return [_cut(region, x - left, y - top, tiles) for x, y in corners.tolist()]


def _cut(region: UInt8Array, x: int, y: int, tiles: SlideTiles) -> UInt8Array:
    n, px = tiles.read_px, tiles.tile_px
    tile = region[y : y + n, x : x + n]
    if n == px:
        return tile
    # as in Slide.read_tiles
    return np.asarray(cv2.resize(tile, (px, px), interpolation=cv2.INTER_AREA), np.uint8)
