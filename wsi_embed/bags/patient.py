"""Joined bags of the slides of a patient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_embed.bags.array import LazyArray
from wsi_embed.bags.bag import Bag
from wsi_embed.bags.histogram import cluster_histogram
from wsi_embed.bags.mean import mean_features


class JoinedArray:
    """Concatenation of the same array of several bags; slicing reads only the slice.

    Args:
        parts: Arrays of the bags, in order.

    Raises:
        StoreError: If a part is missing or damaged, when it is read.
    """

    def __init__(self, parts: Sequence[LazyArray]) -> None:
        self._parts = list(parts)
        self._starts = np.cumsum([0, *(len(p) for p in self._parts)])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the joined array."""
        return (int(self._starts[-1]), *self._parts[0].shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the elements."""
        return self._parts[0].dtype

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        if isinstance(index, slice) and index == slice(None):
            return np.concatenate([part[:] for part in self._parts])
        rows = np.atleast_1d(np.arange(len(self))[index])
        out = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for part, start, stop in zip(self._parts, self._starts, self._starts[1:], strict=False):
            inside = (rows >= start) & (rows < stop)
            if inside.any():
                out[inside] = part[rows[inside] - start]
        return np.asarray(out[0]) if np.ndim(np.arange(len(self))[index]) == 0 else out

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self[:], dtype)

    def __repr__(self) -> str:
        return f"JoinedArray(shape={self.shape}, dtype={self.dtype})"


class PatientBag:
    """Tiles of a patient: the bags of all slides, in the order of their ids. See `Store.patients`.

    Coordinates are relative to each tile's own slide; `slide_index` tells the slides apart.

    Attributes:
        patient: Name of the patient, from the manifest.
        bags: Bags of the slides.

    Example:
        >>> import wsi_embed
        >>> store = wsi_embed.open_store("feats.zarr")
        >>> patient = wsi_embed.PatientBag("P1", list(store.values()))
        >>> patient.features.shape[0] == len(patient) == sum(len(bag) for bag in store.values())
        True
    """

    def __init__(self, patient: str, bags: Sequence[Bag]) -> None:
        self.patient, self.bags = patient, list(bags)

    def __len__(self) -> int:
        return sum(len(bag) for bag in self.bags)

    def __repr__(self) -> str:
        return f"PatientBag({self.patient!r}, {len(self.bags)} slides, {len(self)} tiles)"

    @property
    def slide_ids(self) -> list[str]:
        """Ids of the slides."""
        return [bag.slide_id for bag in self.bags]

    @property
    def slide_index(self) -> npt.NDArray[np.int32]:
        """Position of each tile's slide in `bags`, int32 [N]."""
        return np.repeat(np.arange(len(self.bags), dtype=np.int32), [len(bag) for bag in self.bags])

    @property
    def features(self) -> JoinedArray:
        """Features, float16 or float32 [N, D]."""
        return JoinedArray([bag.features for bag in self.bags])

    @property
    def coords(self) -> JoinedArray:
        """Top-left corners (x, y), level-0 pixels of the tile's own slide, int32 [N, 2]."""
        return JoinedArray([bag.coords for bag in self.bags])

    @property
    def grid(self) -> JoinedArray:
        """(row, col) of each tile in the lattice of its own slide, int32 [N, 2]."""
        return JoinedArray([bag.grid for bag in self.bags])

    @property
    def cluster(self) -> JoinedArray | None:
        """Cluster of each tile, int16 [N]; None if the model has no cluster head."""
        return _joined([bag.cluster for bag in self.bags])

    @property
    def cluster_confidence(self) -> JoinedArray | None:
        """Softmax probability of the tile's cluster, float16 [N]; None if the model has no cluster head."""
        return _joined([bag.cluster_confidence for bag in self.bags])

    @property
    def tissue_fraction(self) -> JoinedArray:
        """Share of each tile that is tissue, float16 [N]."""
        return JoinedArray([bag.tissue_fraction for bag in self.bags])

    @property
    def quality(self) -> dict[str, JoinedArray]:
        """Quality of the tiles by measure, float16 [N] each: the measures that all slides have."""
        found = [bag.quality for bag in self.bags]
        common = [name for name in found[0] if all(name in each for each in found)] if found else []
        return {name: JoinedArray([each[name] for each in found]) for name in common}

    def mean(self) -> npt.NDArray[np.float32]:
        """Compute the mean of the features of all slides, float32 [D]; see `Bag.mean`.

        Every tile has the same weight, so slides count by their number of tiles.

        Raises:
            UsageError: If the patient has no tiles.
            StoreError: If the features are damaged or not finite.
        """
        return mean_features(self.features, self.patient)

    def cluster_histogram(self, *, normalise: bool = True, weighted: bool = False) -> npt.NDArray[np.float64]:
        """Return the share of the patient's tiles in each cluster, float64 [K]; see `Bag.cluster_histogram`.

        Raises:
            UsageError: If the model has no cluster head.
        """
        confidence = self.cluster_confidence if weighted else None
        clusters = self.bags[0].clusters if self.bags else None
        return cluster_histogram(self.cluster, confidence, clusters, normalise)


def _joined(parts: Sequence[LazyArray | None]) -> JoinedArray | None:
    """Join arrays that all slides have, or none: a store has one model."""
    present = [part for part in parts if part is not None]
    return JoinedArray(present) if present else None
