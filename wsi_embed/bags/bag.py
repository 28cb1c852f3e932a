"""The tiles of one slide, read lazily."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from wsi_embed.bags.array import LazyArray
from wsi_embed.bags.histogram import cluster_histogram
from wsi_embed.errors import StoreError
from wsi_embed.storage.folder import Place


class Bag:
    """All tiles of one slide. Arrays are read when they are sliced: `bag.features[:]`.

    Attributes:
        slide_id: Id of the slide.
        folder: Its group.
        attrs: What the store says of the slide (mpp, extent, tile_px, ...).
        clusters: Outputs of the model's cluster head; None without one.
    """

    def __init__(
        self, slide_id: str, folder: Place, attrs: dict[str, Any], clusters: int | None = None
    ) -> None:
        self.slide_id, self.folder, self.attrs, self.clusters = slide_id, folder, attrs, clusters

    @cached_property
    def _group(self) -> zarr.Group:
        return zarr.open_group(self.folder.zarr, mode="r", zarr_format=3, use_consolidated=False)

    def __len__(self) -> int:
        return int(self.attrs["n_tiles"])

    def __repr__(self) -> str:
        return f"Bag({self.slide_id!r}, {len(self)} tiles)"

    @property
    def slide_ids(self) -> list[str]:
        """Its own id: a bag of one slide, as `PatientBag` is one of several."""
        return [self.slide_id]

    @property
    def patient(self) -> str | None:
        """The patient from the manifest, if it said one."""
        return self.attrs.get("patient")

    @property
    def features(self) -> LazyArray:
        """float16 or float32 [N, D]."""
        return self._array("features")

    @property
    def coords(self) -> LazyArray:
        """Top-left corners (x, y), level-0 pixels, int32 [N, 2]."""
        return self._array("coords")

    @property
    def grid(self) -> LazyArray:
        """(row, col), int32 [N, 2]."""
        return self._array("grid")

    @property
    def tissue_fraction(self) -> LazyArray:
        """Share of each tile that is tissue, float16 [N]."""
        return self._array("tissue_fraction")

    @property
    def cluster(self) -> LazyArray | None:
        """Cluster of each tile, int16 [N]; None where the model has no cluster head."""
        return self._array("cluster") if "cluster" in self._group else None

    @property
    def cluster_confidence(self) -> LazyArray | None:
        """Softmax probability of that cluster, float16 [N], or None."""
        return self._array("cluster_confidence") if "cluster_confidence" in self._group else None

    @property
    def tissue_mask(self) -> LazyArray | None:
        """Where tissue was found within the ROI, int8 [h, w] of 0 and 1, over the whole of level 0.

        `attrs["tissue_mask_scale"]` holds the level-0 pixels of a mask pixel, (x, y). None where the
        store was written without it.
        """
        return self._array("tissue_mask") if "tissue_mask" in self._group else None

    def cluster_histogram(self, *, normalise: bool = True, weighted: bool = False) -> npt.NDArray[np.float64]:
        """Share of the tiles in each cluster, float64 [K]: a descriptor of the slide.

        Args:
            normalise: Shares; else counts.
            weighted: A tile counts as much as its `cluster_confidence`.

        Raises:
            UsageError: If the model has no cluster head.
        """
        confidence = self.cluster_confidence if weighted else None
        return cluster_histogram(self.cluster, confidence, self.clusters, normalise)

    def _array(self, name: str) -> LazyArray:
        array = self._group[name]
        if not isinstance(array, zarr.Array):
            raise StoreError(f"{self.slide_id}: {name} is not an array; run wsi-embed verify")
        return LazyArray(array)
