"""Slide vectors: one table with a row per slide or patient, in Parquet.

OUT/<store>.parquet   slide_id (of slides), patient, label (with labels), tiles (int64),
                      mean (D floats): mean features,
                      cluster_histogram (K floats): share of the tiles in each cluster,
                      cluster_mean (K lists of D floats): mean features of the tiles in each cluster;
                      the metadata `wsi_embed` have the model and the clusters as JSON
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from wsi_embed.convert.outgoing_format import Format, Item, Write
from wsi_embed.store import Bag, Store
from wsi_embed.util.json_text import json_text
from wsi_embed.util.verified_files import verified

if TYPE_CHECKING:
    import pyarrow

Vectors = dict[str, npt.NDArray[np.float32]]


class SlideVectors(Format):
    """Table of slide vectors. Without clusters it only has the mean; bags without tiles have none."""

    name: ClassVar[str] = "slide-vectors"
    extra: ClassVar[str] = "parquet"
    libraries: ClassVar[Sequence[str]] = ("pyarrow", "pyarrow.parquet")

    def __init__(self, store: Store, out: Path) -> None:
        super().__init__(store, out)
        self._vectors: dict[str, Vectors] = {}

    def files(self, item: Item) -> list[str]:
        """Return no files: there are none per bag."""
        return []

    def write(self, item: Item, paths: Sequence[Path]) -> None:
        """Compute the vectors of the bag, which `shared` writes."""
        self._vectors[item.id] = vectors_of(item, self.store.clusters)

    def shared(self, items: Sequence[Item]) -> dict[str, Write]:
        """Return the writer of the table."""
        return {f"{self.store.where.stem}.parquet": partial(self._write, items)} if items else {}

    def _write(self, items: Sequence[Item], path: Path) -> None:
        import pyarrow
        import pyarrow.parquet as parquet

        columns: dict[str, Any] = {}
        if all(isinstance(item.bag, Bag) for item in items):
            columns["slide_id"] = pyarrow.array([item.id for item in items], pyarrow.string())
        columns["patient"] = pyarrow.array([item.patient for item in items], pyarrow.string())
        if any(item.label is not None for item in items):
            columns["label"] = pyarrow.array([item.label for item in items], pyarrow.string())
        columns["tiles"] = pyarrow.array([len(item.bag) for item in items], pyarrow.int64())
        rows = [self._vectors[item.id] for item in items]
        for name in rows[0]:
            columns[name] = _fixed_lists(np.stack([row[name] for row in rows]))
        table = pyarrow.table(columns, metadata={"wsi_embed": json_text(self._facts(), sort_keys=True)})
        content = pyarrow.BufferOutputStream()
        parquet.write_table(table, content)
        with verified(path) as file:
            file.write(memoryview(content.getvalue()))

    def _facts(self) -> dict[str, Any]:
        """Return the metadata of the table."""
        settings, head = self.store.attrs["settings"], self.store.head
        facts = {"model": self.store.attrs["model"]["name"], "clusters": self.store.clusters}
        facts |= {name: settings[name] for name in ("model_id", "tile_px", "mpp", "feature_dim")}
        return facts if head is None else {**facts, "clusters_digest": head.digest}


def vectors_of(item: Item, clusters: int | None) -> Vectors:
    """Compute the vectors of a bag, summed in float64.

    Args:
        item: Bag with at least one tile.
        clusters: Number of clusters, K; None without clusters.

    Returns:
        `mean` [D], and with clusters `cluster_histogram` [K] and `cluster_mean` [K, D], float32. The mean of
        a cluster without tiles is zero.

    Raises:
        StoreError: If the bag is damaged.
    """
    features, cluster = item.features(), item.bag.cluster
    vectors = {"mean": features.mean(0, dtype=np.float64).astype(np.float32)}
    if clusters is None or cluster is None:
        return vectors
    numbers = cluster[:]
    means = np.zeros((clusters, features.shape[1]), np.float32)
    for number in np.unique(numbers):
        means[number] = features[numbers == number].mean(0, dtype=np.float64)
    histogram = item.bag.cluster_histogram().astype(np.float32)
    return vectors | {"cluster_histogram": histogram, "cluster_mean": means}


def _fixed_lists(values: npt.NDArray[np.float32]) -> pyarrow.Array:
    """Return an array whose rows are lists, nested for more than two axes, of fixed size."""
    import pyarrow

    lists = pyarrow.array(values.ravel())
    for size in reversed(values.shape[1:]):
        lists = pyarrow.FixedSizeListArray.from_arrays(lists, size)
    return lists
