"""Labelled tiles for evaluation during training, and their features."""

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
    """Paths and labels of tiles, in the same order."""

    paths: list[Path]
    labels: list[str]


@dataclass(frozen=True)
class LabelledSet:
    """Labelled tiles for training and testing a classifier."""

    train: LabelledTiles
    test: LabelledTiles


def read_labelled(source: Path) -> LabelledSet:
    """Read a table of labelled tiles.

    Args:
        source: Table with the columns `path` (relative to the table), `label`, `split` (`train` or `test`)
            and optionally `group`.

    Raises:
        UsageError: If a column is missing, a split is empty, a group is in both splits, or a file does not
            exist.
    """
    table = read_tile_table(source, option="knn")
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
    """Compute the features that the exported model would give: without augmentation, in float32.

    Args:
        backbone: Network from normalised images [B, 3, tile_px, tile_px] to features [B, D]. It is put back
            into training mode if it was in it.
        tiles: The N tiles.
        mean: RGB mean, in [0, 1].
        std: RGB standard deviation, in [0, 1].
        tile_px: Side to which tiles of other sizes are resized, pixels.
        device: Device of the backbone.

    Returns:
        float32 [N, D].

    Raises:
        SlideError: If a tile cannot be read.
    """
    modes = [(module, module.training) for module in backbone.modules()]  # that of frozen stages differs
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
        for module, training in modes:
            module.training = training
    return np.concatenate(rows)


def _read(path: Path, px: int) -> UInt8Array:
    tile = read_image(path)
    if tile.shape[:2] == (px, px):
        return tile
    return np.asarray(Image.fromarray(tile).resize((px, px), Image.Resampling.BILINEAR))
