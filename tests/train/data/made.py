"""Slides whose pixels say where they are, and settings for their tiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.made_models import tiny_config
from tests.made_slides import write_tiff
from wsi_embed_train import TrainConfig

Int64Array = npt.NDArray[np.int64]


def place_pixels(h: int, w: int) -> npt.NDArray[np.uint8]:
    """An image whose colours are the coordinates of its pixels, uint8 [h, w, 3]; up to 4096 a side."""
    y, x = np.mgrid[:h, :w]
    return np.stack([x % 256, y % 256, x // 256 * 16 + y // 256], axis=-1).astype(np.uint8)


def place_of(tile: npt.NDArray[np.uint8]) -> tuple[int, int]:
    """(x, y) of the top-left pixel of a part of such an image."""
    x, y, both = (int(value) for value in tile[0, 0])
    return both // 16 * 256 + x, both % 16 * 256 + y


def place_slide(path: Path, h: int = 500, w: int = 700) -> Path:
    """Write a slide with such pixels, 0.5 um per pixel; everything on it is taken for tissue."""
    return write_tiff(path, place_pixels(h, w), levels=(1, 4))


def slide_config(**overrides: Any) -> TrainConfig:
    """Settings for tiles of 32 pixels at 0.5 um per pixel."""
    return tiny_config(**({"mpp": 0.5} | overrides))
