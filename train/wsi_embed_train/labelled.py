"""Labelled tiles for evaluation, and their features."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import nn

from wsi_embed.evaluate.tile_table import read_tile_table
from wsi_embed.slide import UInt8Array
from wsi_embed_train.data import read_image

BATCH = 256


@dataclass(frozen=True)
class LabelledTiles:
    """Paths and labels of tiles."""

    paths: list[Path]
    labels: list[str]


@dataclass(frozen=True)
class LabelledSet:
    """Tiles to look among, and tiles to classify."""

    train: LabelledTiles
    test: LabelledTiles


def read_labelled(source: Path) -> LabelledSet:
    """Read a table with columns `path` (relative to it), `label`, `split` (`train`, `test`), maybe `group`.

    Raises:
        UsageError: A column is missing, a split is empty, a group is in both, or a file is not there.
    """
    table = read_tile_table(source, option="--knn")
    table.tiles.check()
    sides = []
    for side in (~table.tiles.test, table.tiles.test):
        paths = [table.paths[n] for n in np.flatnonzero(side)]
        sides.append(LabelledTiles(paths, table.tiles.labels[side].tolist()))
    return LabelledSet(*sides)


@torch.inference_mode()
def tile_features(
    backbone: nn.Module,
    tiles: LabelledTiles,
    mean: Sequence[float],
    std: Sequence[float],
    tile_px: int,
    device: torch.device,
) -> npt.NDArray[np.float32]:
    """Features of tiles as the exported model would give them: no augmentation, float32.

    Args:
        backbone: From normalised images [B, 3, tile_px, tile_px] to [B, D]; its mode is left as it was.
        tiles: Which.
        mean: RGB mean, in [0, 1].
        std: RGB standard deviation, in [0, 1].
        tile_px: Tiles of another size are resized.
        device: Where the backbone is.

    Returns:
        float32 [N, D].

    Raises:
        SlideError: A tile cannot be read.
    """
    training = backbone.training
    backbone.eval()
    shift = torch.tensor(mean, device=device).view(1, 3, 1, 1)
    scale = torch.tensor(std, device=device).view(1, 3, 1, 1)
    rows = []
    try:
        with ThreadPoolExecutor() as pool, torch.autocast(device.type, enabled=False):
            for at in range(0, len(tiles.paths), BATCH):
                images = list(pool.map(lambda path: _read(path, tile_px), tiles.paths[at : at + BATCH]))
                batch = torch.from_numpy(np.stack(images)).to(device).permute(0, 3, 1, 2).float() / 255
                batch = ((batch - shift) / scale).contiguous(memory_format=torch.channels_last)
                rows.append(backbone(batch).float().cpu().numpy())
    finally:
        backbone.train(training)
    return np.concatenate(rows)


def _read(path: Path, px: int) -> UInt8Array:
    tile = read_image(path)
    if tile.shape[:2] == (px, px):
        return tile
    return np.asarray(Image.fromarray(tile).resize((px, px), Image.Resampling.BILINEAR))
