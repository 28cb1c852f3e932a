"""AnnData, for scanpy and squidpy: tiles are observations, features are variables.

X (N, D) float32; obsm["spatial"] (N, 2) float64, centres of the tiles, (x, y) in level-0 pixels; obs: slide,
patient, label, x and y (top-left corner), row, col, cluster, cluster_confidence, tissue_fraction, and
the measures of quality;
uns["wsi_embed"]: model, resolution and size of a tile.

OUT/<bag>.h5ad          one file per bag (anndata)
OUT/<store>.h5ad        one file for all (anndata-joined)
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from wsi_embed.convert.hdf5 import Hdf5File
from wsi_embed.convert.observations import table_of_tiles
from wsi_embed.convert.outgoing_format import Format, Item, Write


class AnnData(Format):
    """One AnnData file per bag."""

    name: ClassVar[str] = "anndata"
    libraries: ClassVar[Sequence[str]] = ("anndata", "h5py")
    keeps_empty: ClassVar[bool] = True
    has_names: ClassVar[bool] = True

    def files(self, item: Item) -> list[str]:
        """Return the name of the bag's file."""
        return [f"{item.name}.h5ad"]

    def write(self, item: Item, paths: Sequence[Path]) -> None:
        """Write the tiles of the bag."""
        self._write([item], paths[0])

    def _write(self, items: Sequence[Item], path: Path) -> None:
        """Write the tiles of several bags, with the features of one bag at a time in memory."""
        import anndata

        tiles = table_of_tiles(self.store, [(item, bag) for item in items for bag in item.slides])
        with Hdf5File() as target:
            anndata.io.write_elem(target.file, "/", tiles)
            if "X" in target.file:
                del target.file["X"]
            blocks = (item.features() for item in items)
            x = target.add("X", tiles.shape, np.float32, blocks)
            x.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
            target.save(path)


class AnnDataJoined(AnnData):
    """One AnnData file for all bags."""

    name: ClassVar[str] = "anndata-joined"

    def files(self, item: Item) -> list[str]:
        """Return no files: there are none per bag."""
        return []

    def write(self, item: Item, paths: Sequence[Path]) -> None:
        """Return: the tiles are read when the joint file is written."""

    def shared(self, items: Sequence[Item]) -> dict[str, Write]:
        """Return the writer of the joint file."""
        return {f"{self.store.where.stem}.h5ad": partial(self._write, items)}
