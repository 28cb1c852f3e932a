"""Training tiles: a folder of images at any depth, or a CSV that lists them."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import Dataset

from wsi_embed.errors import UsageError, WsiEmbedError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"})
STATS_SAMPLE = 512


def find_tiles(source: Path, split: str | None = None) -> list[Path]:
    """List the tile images of a training source, sorted.

    Args:
        source: A folder (searched at any depth), or a CSV with a column `path` (relative to the
            CSV) and, where `split` is given, a column `split`.
        split: Take only the CSV's rows with this value in `split`.

    Raises:
        UsageError: The source is missing, has no images, or lacks a column.
    """
    if source.is_dir():
        if split is not None:
            raise UsageError(f"--split needs a CSV with a column `split`, and {source} is a folder")
        tiles = [p for p in source.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES]
    elif source.suffix.lower() == ".csv" and source.is_file():
        tiles = _tiles_of_csv(source, split)
    else:
        raise UsageError(f"{source}: give a folder of tile images, or a CSV that lists them")
    if not tiles:
        raise UsageError(f"{source}: no tile images found ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return sorted(tiles)


def _tiles_of_csv(source: Path, split: str | None) -> list[Path]:
    with source.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    for column in ["path"] + ["split"] * (split is not None):
        if rows and column not in rows[0]:
            raise UsageError(f"{source}: no column {column!r}; it has {', '.join(rows[0])}")
    return [source.parent / r["path"] for r in rows if split is None or r["split"] == split]


def read_tile(path: Path) -> Image.Image:
    """Read one tile image as RGB.

    Raises:
        WsiEmbedError: The file cannot be read as an image.
    """
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise WsiEmbedError(f"{path}: not a readable image ({error}); remove it or its row") from error


def as_tensor(image: Image.Image) -> Tensor:
    """An image's pixels, uint8 [height, width, 3]."""
    return torch.from_numpy(np.array(image))


class TileDataset(Dataset[Any]):
    """Tile images, each through a transform.

    Args:
        tiles: Paths of the images.
        transform: From a Pillow image to what a sample is.
    """

    def __init__(self, tiles: Sequence[Path], transform: Callable[[Image.Image], Any]) -> None:
        self.tiles, self.transform = list(tiles), transform

    def __len__(self) -> int:
        return len(self.tiles)

    def __getitem__(self, index: int) -> Any:
        return self.transform(read_tile(self.tiles[index]))


def pixel_statistics(tiles: Sequence[Path], seed: int = 0) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of RGB in [0, 1] over a bounded random sample of tiles.

    Args:
        tiles: Paths of the images.
        seed: Of the sample.

    Returns:
        Mean and standard deviation, three numbers each, rounded to four digits.
    """
    sample = random.Random(seed).sample(list(tiles), min(STATS_SAMPLE, len(tiles)))
    sums, squares, count = np.zeros(3), np.zeros(3), 0
    for path in sample:
        pixels = np.asarray(read_tile(path), np.float64).reshape(-1, 3) / 255
        sums += pixels.sum(0)
        squares += (pixels**2).sum(0)
        count += len(pixels)
    mean = sums / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 1e-8))
    return tuple(mean.round(4).tolist()), tuple(std.round(4).tolist())


# --- interim ---
from typing import NamedTuple  # noqa: E402

import torch  # noqa: E402


class TileBatch(NamedTuple):
    tiles: Tensor
    labels: Tensor | None
    bad: list[str]


class TrainingTiles(Dataset[Any]):
    def __init__(self, source: Path, config: Any, split: str | None, labelled: bool) -> None:
        from wsi_embed_train.labels import read_labels

        self.tiles = find_tiles(source, split)
        self.mean, self.std = pixel_statistics(self.tiles, config.seed)
        self.groups = [range(i, i + 1) for i in range(len(self.tiles))]
        self.warnings: list[str] = []
        self.source, self.split = source.name, split
        self.labels, self.classes = read_labels(source, self.tiles) if labelled else (None, None)

    def __len__(self) -> int:
        return len(self.tiles)

    def __getitems__(self, wanted: Sequence[tuple[int, int]]) -> list[Any]:
        return [
            (np.asarray(read_tile(self.tiles[n])), self.labels[n] if self.labels else None) for n, _ in wanted
        ]

    @staticmethod
    def collate(samples: list[Any]) -> TileBatch:
        tiles = torch.from_numpy(np.stack([s[0] for s in samples]))
        labels = None if samples[0][1] is None else torch.tensor([s[1] for s in samples])
        return TileBatch(tiles, labels, [])

    def about(self) -> dict[str, Any]:
        data = {
            "source": self.source,
            "split": self.split,
            "tiles": len(self),
            "mean": self.mean,
            "std": self.std,
        }
        return data | ({"classes": self.classes} if self.classes else {})


def open_tiles(
    source: Path, config: Any, *, split: str | None = None, labelled: bool = False
) -> TrainingTiles:
    return TrainingTiles(source, config, split, labelled)
