"""Real tiles: those of the user, or tiles of the tissue picture in the package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from wsi_embed.errors import SlideError, UsageError
from wsi_embed.slide import UInt8Array
from wsi_embed.slide.sample import tissue_picture
from wsi_embed_train.data.opening import open_tiles
from wsi_embed_train.data.regions import UNSHIFTED
from wsi_embed_train.data.statistics import sample_of
from wsi_embed_train.recipe import load_recipe

if TYPE_CHECKING:
    from wsi_embed_export.trained import TrainedModel


def packaged_tiles(rng: np.random.Generator, count: int, px: int) -> UInt8Array:
    """Cut tiles from the packaged tissue at random positions and rotations, uint8 [count, px, px, 3]."""
    tissue = tissue_picture()
    side = min(
        max(px, 224), len(tissue) * 3 // 4
    )  # small tiles are reduced from 224 pixels, so that they show tissue and not a single nucleus
    tiles = []
    for _ in range(count):
        x, y = rng.integers(0, len(tissue) - side + 1, 2)
        tile = np.rot90(tissue[y : y + side, x : x + side], int(rng.integers(4)))
        tiles.append(
            cv2.resize(tile, (px, px), interpolation=cv2.INTER_AREA if side > px else cv2.INTER_LINEAR)
        )
    return np.stack(tiles).astype(np.uint8)


def users_tiles(source: Path, model: TrainedModel, split: str | None = None) -> UInt8Array:
    """Read a reproducible random sample of at most 512 tiles.

    Args:
        source: Source as for `wsi-embed train`: tile images, slides, or a CSV of either.
        model: Model that determines `tile_px` and, for slides, `mpp`.
        split: Value of the column `split` of the CSV; other rows are ignored.

    Returns:
        uint8 [N, tile_px, tile_px, 3]; larger tile images are cropped to their centre.

    Raises:
        UsageError: If there are no tiles, tiles are too small, or the resolution of slides is unknown.
        SlideError: If a tile cannot be read.
    """
    config = load_recipe("clubyol", tile_px=model.tile_px, mpp=model.mpp, region_tiles=1, seed=0)
    tiles = open_tiles(source, config, split=split)
    found = []
    for number in sample_of(len(tiles), seed=0):
        tile = tiles.read([(number, UNSHIFTED)])[number, UNSHIFTED]
        if isinstance(tile, SlideError):
            raise tile
        found.append(_centre(tile, model.tile_px))
    tiles.close()
    if len(found) < 2:
        raise UsageError(
            "one tile is not enough to calibrate or compare with",
            where=source.name,
            remedy="give some hundred",
        )
    return np.stack(found)


def _centre(tile: UInt8Array, px: int) -> UInt8Array:
    y, x = ((side - px) // 2 for side in tile.shape[:2])
    return tile[y : y + px, x : x + px]
