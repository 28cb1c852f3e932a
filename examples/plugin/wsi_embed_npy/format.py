"""Features as CSV: OUT/<slide>.csv has a row a tile, with its position and its features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from wsi_embed.convert import Format, Item


class Csv(Format):
    """Columns `x` and `y`, the top-left corner in level-0 pixels, and `f0`, `f1`, ... with nine digits."""

    name: ClassVar[str] = "csv"
    by_patient: ClassVar[bool] = False  # coordinates of several slides would be mixed
    keeps_empty: ClassVar[bool] = True  # a slide without tiles is a file without rows

    def files(self, item: Item) -> list[str]:
        """Name the one file of a slide."""
        return [f"{item.name}.csv"]

    def write(self, item: Item, paths: Sequence[Path]) -> None:
        """Write it."""
        features = item.features()
        columns = ["x", "y", *(f"f{number}" for number in range(features.shape[1]))]
        rows = np.hstack([item.bag.coords[:].astype(np.float64), features])
        formats = ["%d", "%d", *["%.9g"] * features.shape[1]]
        np.savetxt(paths[0], rows, formats, delimiter=",", header=",".join(columns), comments="")
