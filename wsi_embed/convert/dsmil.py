"""DSMIL: a CSV of features a bag, in a folder of its class. OUT is meant to be `datasets/<name>` of DSMIL.

OUT/<class>/<bag>.csv   a header 0 to D-1, a row a tile, four decimals
OUT/<class>.csv         path and class of its bags, by number
OUT/<name of OUT>.csv   of all bags; what `train_tcga.py --dataset <name of OUT>` reads
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from wsi_embed.convert.outgoing_format import Format, Item, Write, file_name, table


class Dsmil(Format):
    """Classes are numbered by the order of their folders' names, as DSMIL numbers them.

    There are no coordinates: the rows are in the store's order, which has them.
    """

    name: ClassVar[str] = "dsmil"
    needs_labels: ClassVar[bool] = True

    def files(self, item: Item) -> list[str]:
        """One file."""
        return [f"{file_name(str(item.label))}/{item.name}.csv"]

    def write(self, item: Item, paths: Sequence[Path]) -> None:
        """The features."""
        features = item.features()
        header = ",".join(map(str, range(features.shape[1])))
        np.savetxt(paths[0], features, fmt="%.4f", delimiter=",", header=header, comments="")

    def shared(self, items: Sequence[Item]) -> dict[str, Write]:
        """A list of each class, and one of all bags."""
        # the slash belongs to what DSMIL sorts
        folders = sorted({self.files(item)[0].partition("/")[0] + "/" for item in items})
        of_class: dict[str, list[tuple[str, int]]] = {folder: [] for folder in folders}
        rows = []
        for item in items:
            file = self.files(item)[0]
            folder = file.partition("/")[0] + "/"
            rows.append((f"datasets/{self.out.name}/{file}", folders.index(folder)))
            of_class[folder].append(rows[-1])
        lists = {folder.rstrip("/"): found for folder, found in of_class.items()} | {self.out.name: rows}
        return {f"{name}.csv": table(("0", "label"), found) for name, found in lists.items()}
