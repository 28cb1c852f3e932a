"""torchmil: the folders that its `ProcessedMILDataset` reads.

OUT/features/<bag>.npy    (N, D) float32
OUT/coords/<bag>.npy      (N, 2) int64, (x, y) in steps of the grid, so that neighbours are 1 apart
OUT/labels/<bag>.npy      () int64; only with labels
OUT/bags.csv              class name and number of each bag; only with labels
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from wsi_embed.bags.geometry import lattice
from wsi_embed.convert.outgoing_format import Format, Item, Write, table
from wsi_embed.util.verified_files import verified


class Torchmil(Format):
    """torchmil files of a store. Without labels, use the `bag_keys` X, coords and adj.

    Coordinates are in steps of the grid, because torchmil's graphs connect tiles at most 1.5 apart: with
    level-0 coordinates they would have no edges.
    """

    name: ClassVar[str] = "torchmil"

    def files(self, item: Item) -> list[str]:
        """Return the names of the features, coordinates and label files."""
        kinds = ["features", "coords", *(["labels"] if item.target is not None else [])]
        return [f"{kind}/{item.name}.npy" for kind in kinds]

    def write(self, item: Item, paths: Sequence[Path]) -> None:
        """Write the bag's files; the label is a scalar, as the losses of torchmil's models expect."""
        values: list[npt.NDArray[Any]] = [item.features(), lattice(item.bag), np.array(item.target)]
        for path, value in zip(paths, values, strict=False):
            with verified(path) as file:
                np.save(file, value)

    def shared(self, items: Sequence[Item]) -> dict[str, Write]:
        """Return the writer of the class table, if there are labels."""
        rows = [
            (item.name, item.patient or "", item.label, item.target)
            for item in items
            if item.label is not None
        ]
        return {"bags.csv": table(("bag", "patient", "class", "label"), rows)} if rows else {}
