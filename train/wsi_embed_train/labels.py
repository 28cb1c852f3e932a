"""Labels of tiles, for supervised training: the column `label` of a CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from wsi_embed.errors import UsageError


def read_labels(source: Path, tiles: Sequence[Path]) -> tuple[list[int], list[str]]:
    """Labels of tiles that `find_tiles` found in a CSV.

    Args:
        source: A CSV with columns `path` (relative to the CSV) and `label`.
        tiles: Which of its tiles.

    Returns:
        The class of each tile, and the names of the classes, sorted.

    Raises:
        UsageError: The source is no CSV, has no such column, a tile has no label, or there is one class.
    """
    if source.suffix.lower() != ".csv":
        raise UsageError(f"{source.name}: supervised training needs a CSV with columns `path` and `label`")
    with source.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    if rows and "label" not in rows[0]:
        raise UsageError(f"{source.name}: no column 'label'; it has {', '.join(rows[0])}")
    of_path = {source.parent / row["path"]: (row["label"] or "").strip() for row in rows}
    found = [of_path[tile] for tile in tiles]
    if "" in found:
        raise UsageError(f"{source.name}: {tiles[found.index('')].name} has no label")
    names = sorted(set(found))
    if len(names) < 2:
        raise UsageError(f"{source.name}: all tiles have the label {names[0]!r}; give two classes at least")
    number = {name: index for index, name in enumerate(names)}
    return [number[name] for name in found], names


class LabelledTiles(Dataset[Any]):
    """Samples of another data set, each with its class.

    Args:
        tiles: The other data set.
        labels: A class for each.
    """

    def __init__(self, tiles: Dataset[Any], labels: Sequence[int]) -> None:
        self.tiles, self.labels = tiles, list(labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.tiles[index], self.labels[index]
