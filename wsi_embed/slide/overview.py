"""Overview image of a whole slide, in bounded memory even if level 0 is the only level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from wsi_embed.errors import SlideError

UInt8Array = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]  # x, y, width, height

# Slides without a small level are read in bands of at most this many pixels.
BAND_PIXELS = 32_000_000
# Resolution at which the unreadable part of a slide is located, pixels: about one compressed tile.
SMALLEST_BOX = 256


class Pyramid(Protocol):
    """Interface of a slide's levels."""

    @property
    def level_sizes(self) -> Sequence[tuple[int, int]]:
        """Width and height of each level, pixels."""

    @property
    def level_scales(self) -> Sequence[tuple[float, float]]:
        """Level-0 pixels per pixel of each level, (x, y)."""

    def usable_levels(self) -> Sequence[int]:
        """Return the levels that show what level 0 shows; see `Slide.usable_levels`."""

    def read(self, level: int, x: int, y: int, w: int, h: int) -> UInt8Array:
        """Read a region of a level; see `Slide.read`."""


def read_overview(slide: Pyramid, max_px: int, unreadable: list[Box] | None = None) -> UInt8Array:
    """Read a whole slide at reduced size; for arguments, result and errors see `Slide.thumbnail`."""
    width, height = slide.level_sizes[0]
    scale = min(1.0, max_px / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    level = _coarsest_level_of(slide, size)
    level_w, level_h = slide.level_sizes[level]
    # in one step if memory allows, because two steps blur
    fits = level_w * level_h <= BAND_PIXELS
    factor = 1 if fits else max(1, min(level_w // size[0], level_h // size[1], BAND_PIXELS // level_w))
    rows = max(factor, BAND_PIXELS // level_w // factor * factor)
    bands = [
        _shrink(_read_band(slide, level, (0, y, level_w, min(rows, level_h - y)), unreadable), factor)
        for y in range(0, level_h, rows)
    ]
    image = np.concatenate(bands)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _read_band(slide: Pyramid, level: int, box: Box, unreadable: list[Box] | None) -> UInt8Array:
    """Read a box of a level; if `unreadable` is given, what cannot be decoded is found by bisection."""
    x, y, w, h = box
    try:
        return slide.read(level, x, y, w, h)
    except SlideError:
        if unreadable is None:
            raise
    if max(w, h) <= SMALLEST_BOX:
        sx, sy = slide.level_scales[level]
        unreadable.append((int(x * sx), int(y * sy), math.ceil(w * sx), math.ceil(h * sy)))
        return np.full((h, w, 3), 255, np.uint8)
    if w >= h:
        halves = [(x, y, w // 2, h), (x + w // 2, y, w - w // 2, h)]
    else:
        halves = [(x, y, w, h // 2), (x, y + h // 2, w, h - h // 2)]
    return np.concatenate([_read_band(slide, level, half, unreadable) for half in halves], int(w >= h))


def _coarsest_level_of(slide: Pyramid, size: tuple[int, int]) -> int:
    sizes = slide.level_sizes
    fitting = [i for i in range(len(sizes)) if sizes[i][0] >= size[0] and sizes[i][1] >= size[1]]
    if not fitting or fitting[-1] == 0:
        return 0  # without comparing levels
    usable = slide.usable_levels()
    return [i for i in fitting if i in usable][-1]


def _shrink(band: UInt8Array, factor: int) -> UInt8Array:
    if factor == 1:
        return band
    size = (max(1, band.shape[1] // factor), max(1, -(-band.shape[0] // factor)))
    return np.asarray(cv2.resize(band, size, interpolation=cv2.INTER_AREA), np.uint8)
