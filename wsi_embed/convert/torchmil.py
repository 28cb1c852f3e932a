"""torchmil: what its `ProcessedMILDataset` reads.

OUT/features/<bag>.npy    (N, D) float32
OUT/coords/<bag>.npy      (N, 2) int64, (x, y) in steps of the grid, so that neighbours are 1 apart
OUT/labels/<bag>.npy      () int64; with labels only
OUT/bags.csv              which bag is which class and number; with labels only
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from wsi_embed.bags.geometry import lattice
from wsi_embed.convert.outgoing_format import Format, Item, Write, table


class Torchmil(Format):
    """Without labels its `bag_keys` are X, coords and adj.

    Level-0 coordinates would leave its graphs without edges: it joins what is at most 1.5 apart.
    """

    name: ClassVar[str] = "torchmil"

    def files(self, item: Item) -> list[str]:
        """Features, coordinates and the label."""
        kinds = ["features", "coords", *(["labels"] if item.target is not None else [])]
        return [f"{kind}/{item.name}.npy" for kind in kinds]

    def write(self, item: Item, paths: Sequence[Path]) -> None:
        """All files; the label has no axes, as its models' losses want it."""
        values: list[npt.NDArray[Any]] = [item.features(), lattice(item.bag), np.array(item.target)]
        for path, value in zip(paths, values, strict=False):
            np.save(path, value)

    def shared(self, items: Sequence[Item]) -> dict[str, Write]:
        """Classes by name, where there are labels."""
        rows = [
            (item.name, item.patient or "", item.label, item.target)
            for item in items
            if item.label is not None
        ]
        return {"bags.csv": table(("bag", "patient", "class", "label"), rows)} if rows else {}
