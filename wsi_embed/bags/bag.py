"""Tiles of one slide, read lazily."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from wsi_embed.bags.array import LazyArray, StoredArray
from wsi_embed.bags.cluster_head import AssignedArray, ClusterHead
from wsi_embed.bags.cluster_names import ClusterNames
from wsi_embed.bags.histogram import cluster_histogram
from wsi_embed.bags.mean import mean_features
from wsi_embed.errors import StoreError
from wsi_embed.storage.folder import Place


def quality_arrays(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of a slide's arrays of quality; none for slides without, as before version 0.3."""
    return tuple((attributes.get("quality") or {}).get("arrays", ()))


class Bag:
    """Tiles of one slide. Arrays are read when they are sliced: `bag.features[:]`.

    Attributes:
        slide_id: Slide id.
        folder: Group of the slide in the store.
        attrs: Attributes of the slide (mpp, extent, tile_px, ...).
        clusters: Number of clusters; None without a cluster head.
        head: Clusters that replace those of the model; None for the model's own.
        cluster_names: Names and colours of the clusters.

    Args:
        slide_id: Slide id.
        folder: Group of the slide in the store.
        attrs: Attributes of the slide.
        clusters: Number of clusters of the model; None without a cluster head.
        head: Clusters that replace those of the model.
        cluster_names: Names and colours of the clusters.
        documents: Metadata documents of the arrays by name; read from the group if they are not given.

    Example:
        >>> import wsi_embed
        >>> bag = next(iter(wsi_embed.open_store("feats.zarr").values()))
        >>> bag.coords[:].shape == (len(bag), 2)
        True
    """

    def __init__(
        self,
        slide_id: str,
        folder: Place,
        attrs: dict[str, Any],
        clusters: int | None = None,
        head: ClusterHead | None = None,
        cluster_names: ClusterNames | None = None,
        documents: Mapping[str, Any] | None = None,
    ) -> None:
        self.slide_id, self.folder, self.attrs, self.head = slide_id, folder, attrs, head
        self.clusters = clusters if head is None else len(head)
        self.cluster_names = cluster_names or ClusterNames()
        self._documents = documents

    @cached_property
    def _arrays(self) -> Mapping[str, LazyArray]:
        if self._documents is None:
            group = zarr.open_group(self.folder.zarr, mode="r", zarr_format=3, use_consolidated=False)
            return {name: LazyArray(array) for name, array in group.arrays()}
        objects = self.attrs["objects"]
        return {
            name: StoredArray(self.folder, name, document, objects)
            for name, document in self._documents.items()
        }

    @cached_property
    def _assigned(self) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.float16]]:
        """Clusters and confidences by `head`, computed once for both."""
        assert self.head is not None
        return self.head.assign_all(self.features)

    def __len__(self) -> int:
        return int(self.attrs["n_tiles"])

    def __repr__(self) -> str:
        return f"Bag({self.slide_id!r}, {len(self)} tiles)"

    @property
    def slide_ids(self) -> list[str]:
        """Slide id as a list, for the same interface as `PatientBag`."""
        return [self.slide_id]

    @property
    def patient(self) -> str | None:
        """Patient from the manifest; None if it named none."""
        return self.attrs.get("patient")

    @property
    def features(self) -> LazyArray:
        """Features, float16 or float32 [N, D]."""
        return self._array("features")

    @property
    def coords(self) -> LazyArray:
        """Top-left corners (x, y), level-0 pixels, int32 [N, 2]."""
        return self._array("coords")

    @property
    def grid(self) -> LazyArray:
        """(row, col) of each tile in the lattice, int32 [N, 2]."""
        return self._array("grid")

    @property
    def tissue_fraction(self) -> LazyArray:
        """Share of each tile that is tissue, float16 [N]."""
        return self._array("tissue_fraction")

    @property
    def cluster(self) -> LazyArray | None:
        """Cluster of each tile, int16 [N]; None if the model has no cluster head."""
        if self.head is not None:
            return AssignedArray(len(self), np.int16, lambda: self._assigned[0])
        return self._array("cluster") if "cluster" in self._arrays else None

    @property
    def cluster_confidence(self) -> LazyArray | None:
        """Softmax probability of the tile's cluster, float16 [N]; None if the model has no cluster head."""
        if self.head is not None:
            return AssignedArray(len(self), np.float16, lambda: self._assigned[1])
        return self._array("cluster_confidence") if "cluster_confidence" in self._arrays else None

    @property
    def tissue_mask(self) -> LazyArray | None:
        """Tissue mask of the whole slide within the ROI, int8 [h, w] of 0 and 1; None in stores without one.

        `attrs["tissue_mask_scale"]` holds the level-0 pixels per mask pixel, (x, y).
        """
        return self._array("tissue_mask") if "tissue_mask" in self._arrays else None

    @property
    def quality(self) -> dict[str, LazyArray]:
        """Quality of the tiles by measure (`focus`, `pen`, `dark`), float16 [N] each; see docs/quality.md.

        Empty for slides without, such as those of versions before 0.3.

        Example:
            >>> import wsi_embed
            >>> bag = next(iter(wsi_embed.open_store("feats.zarr").values()))
            >>> sharp = bag.quality["focus"][:] >= 4
            >>> sharp.shape == (len(bag),)
            True
        """
        return {name: self._array(name) for name in quality_arrays(self.attrs)}

    def read_quality(self) -> dict[str, npt.NDArray[np.float32]]:
        """Read `quality` as float32, with NaN for tiles that could not be read and were taken as white."""
        values = {name: np.array(array[:], np.float32) for name, array in self.quality.items()}
        for array in values.values():
            array[self.attrs.get("bad_tiles", [])] = np.nan
        return values

    def mean(self) -> npt.NDArray[np.float32]:
        """Compute the mean of the features, float32 [D]: a descriptor of the slide.

        Features are read in blocks and summed in float64.

        Raises:
            UsageError: If the slide has no tiles.
            StoreError: If the features are damaged or not finite.

        Example:
            >>> import wsi_embed
            >>> bag = next(iter(wsi_embed.open_store("feats.zarr").values()))
            >>> bag.mean().shape == (bag.features.shape[1],)
            True
        """
        return mean_features(self.features, self.slide_id)

    def cluster_histogram(self, *, normalise: bool = True, weighted: bool = False) -> npt.NDArray[np.float64]:
        """Return the share of the tiles in each cluster, float64 [K]: a descriptor of the slide.

        Args:
            normalise: Whether to return shares; else counts.
            weighted: Whether to weight tiles by their `cluster_confidence`.

        Raises:
            UsageError: If the model has no cluster head.

        Example:
            >>> import wsi_embed
            >>> bag = next(iter(wsi_embed.open_store("feats.zarr").values()))
            >>> float(bag.cluster_histogram(normalise=False).sum()) == len(bag)
            True
        """
        confidence = self.cluster_confidence if weighted else None
        return cluster_histogram(self.cluster, confidence, self.clusters, normalise)

    def _array(self, name: str) -> LazyArray:
        if name not in self._arrays:
            raise StoreError(f"has no array {name}", where=self.slide_id, remedy="run wsi-embed verify")
        return self._arrays[name]
