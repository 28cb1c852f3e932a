"""DSMIL: one CSV of features per bag, in a folder of its class. OUT should be `datasets/<name>` of DSMIL.

OUT/<class>/<bag>.csv   header 0 to D-1, one row per tile, four decimals
OUT/<class>.csv         paths and class numbers of the bags of a class
OUT/<name of OUT>.csv   the same for all bags; read by `train_tcga.py --dataset <name of OUT>`
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from wsi_embed.convert.outgoing_format import Format, Item, Write, file_name, table
from wsi_embed.errors import UsageError
from wsi_embed.util.verified_files import verified


class Dsmil(Format):
    """DSMIL files of a store. Classes are numbered in the order of their folder names, as in DSMIL.

    The files have no coordinates; the rows are in the order of the store.
    """

    name: ClassVar[str] = "dsmil"
    needs_labels: ClassVar[bool] = True

    def files(self, item: Item) -> list[str]:
        """Return the name of the bag's CSV.

        Raises:
            UsageError: If the label cannot be a folder beside the lists of DSMIL.
        """
        label = str(item.label)
        if set(label) <= {"."} or label == self.out.name:
            raise UsageError(
                f"the label {label!r} cannot be the name of a folder in {self.out.name}",
                remedy="rename the class"
                if set(label) <= {"."}
                else "rename the class, or choose another `out=`",
            )
        return [f"{file_name(str(item.label))}/{item.name}.csv"]

    def write(self, item: Item, paths: Sequence[Path]) -> None:
        """Write the features of the bag."""
        features = item.features()
        header = ",".join(map(str, range(features.shape[1])))
        with verified(paths[0]) as file:
            np.savetxt(file, features, fmt="%.4f", delimiter=",", header=header, comments="")

    def shared(self, items: Sequence[Item]) -> dict[str, Write]:
        """Return the writers of the bag lists: one per class, and one of all bags."""
        # DSMIL sorts the names with the slash
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
