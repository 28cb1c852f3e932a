"""Deep-zoom pyramid of a slide: sizes of its levels, boxes of its tiles, and their pixels."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from wsi_embed.slide import Slide, UInt8Array

TILE = 256
# Sides of a file's tiles that the tiles of its pyramid get, too, so that each is decoded once.
OWN_TILES = range(192, 1025)
# Pixels of a slide's level that are read at once; tiles that need more are read in bands.
BAND_PIXELS = 16_000_000
# From this number of a level's pixels per pixel of a tile on, along one axis, an overview is used.
COARSE = 8
OVERVIEW_PX = 2048


@dataclass(frozen=True)
class Pyramid:
    """Levels of a slide that halve in size, each cut into tiles. Level 0 is the smallest, of one tile.

    Attributes:
        width: Width of the slide, level-0 pixels of the slide.
        height: Height of the slide, level-0 pixels of the slide.
        tile: Side of a tile, pixels.
    """

    width: int
    height: int
    tile: int = TILE

    @classmethod
    def of(cls, slide: Slide) -> Pyramid:
        """Return the pyramid of a slide, with the tiles of its file if these are square and not too small."""
        across, down = slide.tile_size or (TILE, TILE)
        return cls(*slide.level_sizes[0], across if across == down and across in OWN_TILES else TILE)

    @property
    def levels(self) -> int:
        """Number of levels; the last one has the slide's own size."""
        return 1 + max(0, math.ceil(math.log2(max(self.width, self.height) / self.tile)))

    def factor(self, level: int) -> int:
        """Return the number of the slide's pixels per pixel of a level, along one axis."""
        return 1 << (self.levels - 1 - level)

    def size(self, level: int) -> tuple[int, int]:
        """Return width and height of a level, rounded up."""
        factor = self.factor(level)
        return -(-self.width // factor), -(-self.height // factor)

    def box(self, level: int, column: int, row: int) -> tuple[int, int, int, int]:
        """Return the box of a tile (x, y, width, height), pixels of its level.

        Raises:
            KeyError: If there is no such tile.
        """
        if not 0 <= level < self.levels:
            raise KeyError(f"no level {level}")
        (width, height), x, y = self.size(level), column * self.tile, row * self.tile
        if not (0 <= x < width and 0 <= y < height):
            raise KeyError(f"no tile {column}, {row} in level {level}")
        return x, y, min(self.tile, width - x), min(self.tile, height - y)


def read_tile(
    slide: Slide, level: int, column: int, row: int, overview: Overview | None = None
) -> UInt8Array:
    """Read a deep-zoom tile from the nearest finer level of a slide.

    Args:
        slide: The open slide.
        level: Level of the pyramid.
        column: Column of the tile.
        row: Row of the tile.
        overview: Overview of the slide, for tiles that are much coarser than the slide's levels.

    Returns:
        Area-averaged RGB, uint8 [h, w, 3]. Tiles at the right and lower edge are smaller.

    Raises:
        KeyError: If there is no such tile.
        SlideError: If the region cannot be decoded.
    """
    pyramid = Pyramid.of(slide)
    box, factor = pyramid.box(level, column, row), pyramid.factor(level)
    source = _level_for(slide, factor)
    sx, sy = slide.level_scales[source]
    if overview is not None and factor / max(sx, sy) >= COARSE and max(pyramid.size(level)) <= OVERVIEW_PX:
        pixels = overview.read(slide)
        scale = (pyramid.width / pixels.shape[1], pyramid.height / pixels.shape[0])
        return _resample(_Pixels(pixels), box, (factor / scale[0], factor / scale[1]))
    return _resample(_Level(slide, source), box, (factor / sx, factor / sy))


class Overview:
    """Small picture of a slide, read at first use."""

    def __init__(self) -> None:
        self._pixels: UInt8Array | None = None
        self._lock = threading.Lock()

    def read(self, slide: Slide) -> UInt8Array:
        """Return the picture, uint8 [h, w, 3], with at most 2048 pixels on its longer side."""
        with self._lock:  # of several tiles, the first one reads it
            if self._pixels is None:
                self._pixels = slide.thumbnail(OVERVIEW_PX, [])
            return self._pixels


def _level_for(slide: Slide, factor: int) -> int:
    """Return the coarsest level that is not coarser than a factor by more than 1 %."""
    fitting = [i for i, scale in enumerate(slide.level_scales) if max(scale) <= 1.01 * factor]
    if fitting[-1:] in ([], [0]):
        return 0  # without comparing levels
    usable = set(slide.usable_levels())
    return max((i for i in fitting if i in usable), key=lambda i: max(slide.level_scales[i]), default=0)


@dataclass(frozen=True)
class _Level:
    """One level of a slide, as a source of pixels."""

    slide: Slide
    level: int

    @property
    def size(self) -> tuple[int, int]:
        return self.slide.level_sizes[self.level]

    def read(self, x: int, y: int, w: int, h: int) -> UInt8Array:
        return self.slide.read(self.level, x, y, w, h)


@dataclass(frozen=True)
class _Pixels:
    """Pixels in memory, as a source of pixels."""

    pixels: UInt8Array

    @property
    def size(self) -> tuple[int, int]:
        return self.pixels.shape[1], self.pixels.shape[0]

    def read(self, x: int, y: int, w: int, h: int) -> UInt8Array:
        return self.pixels[y : y + h, x : x + w]


def _resample(
    source: _Level | _Pixels, box: tuple[int, int, int, int], ratio: tuple[float, float]
) -> UInt8Array:
    """Read a box of a pyramid's level from a source with `ratio` times as many pixels along x and y."""
    x, y, w, h = box
    rows = max(1, int(BAND_PIXELS / (w * ratio[0]) / ratio[1]))
    bands = [_band(source, (x, top, w, min(rows, y + h - top)), ratio) for top in range(y, y + h, rows)]
    return bands[0] if len(bands) == 1 else np.concatenate(bands)


def _band(source: _Level | _Pixels, box: tuple[int, int, int, int], ratio: tuple[float, float]) -> UInt8Array:
    x, y, w, h = box
    across, down = _Span.of(x, w, ratio[0], source.size[0]), _Span.of(y, h, ratio[1], source.size[1])
    pixels = source.read(across.start, down.start, across.count, down.count)
    if across.whole and down.whole and ratio == (1.0, 1.0):
        return pixels
    if across.beyond or down.beyond:  # the last pixel of a level may be less than whole: the edge is repeated
        pixels = np.pad(pixels, ((0, down.beyond), (0, across.beyond), (0, 0)), "edge")
    if across.whole and down.whole:
        return np.asarray(cv2.resize(pixels, (w, h), interpolation=cv2.INTER_AREA), np.uint8)
    exact = (across.first, down.first, across.last, down.last)
    resized = Image.fromarray(pixels).resize((w, h), Image.Resampling.HAMMING, box=exact)
    return np.asarray(resized, np.uint8)


@dataclass(frozen=True)
class _Span:
    """Pixels of a source along one axis.

    Attributes:
        start: First pixel to read.
        count: Number of pixels to read.
        beyond: Number of pixels beyond the edge.
        first: Start of the interval to resample, relative to the first pixel.
        last: End of the interval.
        whole: Whether the interval is of whole pixels, and so is their number per pixel of the result.
    """

    start: int
    count: int
    beyond: int
    first: float
    last: float
    whole: bool

    @classmethod
    def of(cls, place: int, length: int, ratio: float, size: int) -> _Span:
        """Return the span of pixels `place` to `place + length` of a result, in a source of `size` pixels."""
        first, last = min(place * ratio, size - 1.0), (place + length) * ratio
        whole = ratio == int(ratio)
        margin = 0 if whole else math.ceil(ratio)
        start, end = max(0, math.floor(first) - margin), math.ceil(last) + margin
        inside = min(end, size)
        return cls(start, inside - start, end - inside, first - start, last - start, whole)
