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
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from wsi_embed.convert.hdf5 import Hdf5File
from wsi_embed.convert.outgoing_format import Format, Item, Write
from wsi_embed.store import Bag

if TYPE_CHECKING:
    import pandas as pd


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
        import pandas as pd

        clusters = self.store.clusters
        parts = [(item, bag) for item in items for bag in item.slides]
        obs = pd.concat([_observations(item, bag) for item, bag in parts])
        for column in ("slide", "patient", "label"):
            obs[column] = pd.Categorical(obs[column])
        if "cluster" in obs:
            numbers = pd.CategoricalDtype([str(n) for n in range(clusters or 0)])
            if names := self.store.cluster_names.names:
                obs["cluster_name"] = pd.Categorical([names.get(int(n)) for n in obs["cluster"]])
            obs["cluster"] = obs["cluster"].astype(str).astype(numbers)
        dim = int(self.store.attrs["settings"]["feature_dim"])
        var = pd.DataFrame(index=[str(n) for n in range(dim)])
        spatial = np.concatenate([_centres(bag) for _, bag in parts])
        whole = anndata.AnnData(
            obs=obs, var=var, obsm={"spatial": spatial}, uns={"wsi_embed": self._facts(parts)}
        )
        with Hdf5File() as target:
            anndata.io.write_elem(target.file, "/", whole)
            if "X" in target.file:
                del target.file["X"]
            blocks = (item.features() for item in items)
            x = target.add("X", (len(obs), dim), np.float32, blocks)
            x.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
            target.save(path)

    def _facts(self, parts: Sequence[tuple[Item, Bag]]) -> dict[str, Any]:
        """Return the metadata shared by all tiles, and for a single slide its own."""
        settings = self.store.attrs["settings"]
        facts = {"model": self.store.attrs["model"]["name"], "tile_mpp": settings["mpp"]}
        facts |= {name: settings[name] for name in ("model_id", "tile_px", "clusters")}
        if len(parts) == 1:
            facts |= {name: parts[0][1].attrs[name] for name in ("mpp", "effective_mpp", "extent")}
        return {name: value for name, value in facts.items() if value is not None}


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


def _observations(item: Item, bag: Bag) -> pd.DataFrame:
    """Return the table of observations: one row per tile of a slide."""
    import pandas as pd

    coords, grid = bag.coords[:], bag.grid[:]
    columns: dict[str, Any] = {
        "slide": bag.slide_id,
        "patient": item.patient or bag.patient,
        "label": item.label,
        "x": coords[:, 0],
        "y": coords[:, 1],
        "row": grid[:, 0],
        "col": grid[:, 1],
        "tissue_fraction": bag.tissue_fraction[:].astype(np.float32),
    }
    columns |= {name: values[:].astype(np.float32) for name, values in bag.quality.items()}
    if bag.cluster is not None and bag.cluster_confidence is not None:
        columns["cluster"] = bag.cluster[:]
        columns["cluster_confidence"] = bag.cluster_confidence[:].astype(np.float32)
    return pd.DataFrame(columns, index=[f"{bag.slide_id}:{x}_{y}" for x, y in coords.tolist()])


def _centres(bag: Bag) -> npt.NDArray[np.float64]:
    """Return the centres of the tiles, because squidpy draws shapes around the coordinates."""
    return np.asarray(bag.coords[:] + float(bag.attrs["extent"]) / 2, np.float64)
