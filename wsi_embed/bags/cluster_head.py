"""Cluster head: centroids that assign tiles to clusters by their features."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_embed.bags.array import LazyArray
from wsi_embed.bags.cluster_names import COLOURS, NAMES, ClusterNames, are_given
from wsi_embed.bags.json_document import read_document
from wsi_embed.errors import UsageError
from wsi_embed.util.atomic_files import replacing
from wsi_embed.util.digest import canonical_digest
from wsi_embed.util.json_text import json_text

DOCUMENT, ARRAYS = "clusters.json", "centroids.npz"
SCHEMA = 1
# Rows of features assigned at a time.
BLOCK = 65_536
Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ClusterHead:
    """Spherical k-means clusters of the features of one model.

    With features f, mean m, centroids c_k of length 1 and temperature T, a tile is in the cluster with the
    largest cosine s_k = <(f - m) / |f - m|, c_k>; its confidence is the softmax of s / T at that cluster.

    Attributes:
        model_id: Digest of the model that computed the features.
        mean: Mean of the features, float32 [D].
        centroids: Centroids of length 1, float32 [K, D].
        temperature: T.
        about: Record of their origin: store, sample, seed, shares of the tiles.
        names: Names and colours of the clusters. They do not change the assignments.
    """

    model_id: str
    mean: Float32Array
    centroids: Float32Array
    temperature: float
    about: dict[str, Any] = field(default_factory=dict)
    names: ClusterNames = field(default_factory=ClusterNames)

    def __len__(self) -> int:
        return len(self.centroids)

    @property
    def digest(self) -> str:
        """Digest of everything that determines the assignments."""
        parts = [self.mean.tobytes().hex(), self.centroids.tobytes().hex(), self.temperature]
        return canonical_digest([self.model_id, *parts])

    def cosines(self, features: npt.ArrayLike) -> Float32Array:
        """Return the cosines s_k of tiles and centroids, float32 [N, K].

        Args:
            features: Features of the tiles, float [N, D].

        Raises:
            UsageError: If the features have another width, or are not finite.
        """
        rows = np.asarray(features, np.float32)
        if rows.ndim != 2 or rows.shape[1] != len(self.mean):
            raise UsageError(
                f"features of shape {rows.shape} do not fit clusters of {len(self.mean)} features"
            )
        found = np.asarray(unit_rows(rows - self.mean) @ self.centroids.T, np.float32)
        if not np.isfinite(found).all():
            raise UsageError("features are not finite numbers", remedy="check the model that computed them")
        return found

    def assign(self, features: npt.ArrayLike) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.float16]]:
        """Assign tiles to clusters.

        Args:
            features: Features of the tiles, float [N, D].

        Returns:
            Clusters, int16 [N], and their confidences, float16 [N].

        Raises:
            UsageError: If the features have another width, or are not finite.
        """
        cosines = self.cosines(features)
        logits = (cosines - cosines.max(1, keepdims=True)) / self.temperature
        confidence = 1 / np.exp(logits).sum(1)
        return cosines.argmax(1).astype(np.int16), confidence.astype(np.float16)

    def assign_all(self, features: LazyArray) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.float16]]:
        """Assign all tiles of a bag, reading a block of features at a time; see `assign`."""
        cluster, confidence = np.empty(len(features), np.int16), np.empty(len(features), np.float16)
        for start in range(0, len(features), BLOCK):
            part = slice(start, start + BLOCK)
            cluster[part], confidence[part] = self.assign(features[part])
        return cluster, confidence

    def save(self, folder: Path) -> None:
        """Write `clusters.json` and `centroids.npz`.

        If the folder holds the same clusters, and these have no names, the names and colours in the folder
        are kept.

        Args:
            folder: Output folder; created if missing.

        Raises:
            UsageError: If the folder cannot be written, or holds other clusters that have been given names,
                or a `clusters.json` that cannot be read.
        """
        names = self._names_to_save(folder)
        document = {
            "schema": SCHEMA,
            "model_id": self.model_id,
            "clusters": len(self),
            "temperature": self.temperature,
            "digest": self.digest,
            **self.about,
            **names.to_dict(),
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            np.savez(folder / ARRAYS, mean=self.mean, centroids=self.centroids)
            with replacing(folder / DOCUMENT) as part:
                part.write_text(json_text(document, indent=2) + "\n", "utf-8")
        except OSError as error:
            raise UsageError(
                f"cannot be written ({error.strerror})", where=folder, remedy="choose another folder"
            ) from error

    def _names_to_save(self, folder: Path) -> ClusterNames:
        """Return the names of these clusters, or else those that the folder has for them."""
        there = written_document(folder)
        if there.get("digest") != self.digest and are_given(there):
            raise UsageError(
                "holds other clusters, to which names or colours have been given",
                where=folder,
                remedy="choose another folder, or remove this one",
            )
        if self.names or there.get("digest") != self.digest:
            return self.names
        return ClusterNames.from_dict(there, len(self), folder / DOCUMENT)

    @classmethod
    def load(cls, folder: str | Path) -> ClusterHead:
        """Read the clusters that `wsi-embed cluster` wrote.

        Raises:
            UsageError: If the folder has none, or they are damaged.
        """
        folder = Path(folder)
        try:
            document = read_document(folder / DOCUMENT)
            with np.load(folder / ARRAYS, allow_pickle=False) as arrays:
                mean, centroids = arrays["mean"].astype(np.float32), arrays["centroids"].astype(np.float32)
            known = {"schema", "model_id", "clusters", "temperature", "digest", NAMES, COLOURS}
            about = {k: v for k, v in document.items() if k not in known}
            head = cls(document["model_id"], mean, centroids, float(document["temperature"]), about)
            recorded = document["digest"]
        except FileNotFoundError as error:
            raise UsageError(
                "no clusters there", where=folder, remedy="make them with wsi-embed cluster"
            ) from error
        except (OSError, EOFError, ValueError, LookupError, TypeError, zipfile.BadZipFile) as error:
            raise UsageError(
                f"its clusters cannot be read ({error!r})", where=folder, remedy="make them again"
            ) from error
        if centroids.ndim != 2 or centroids.shape[1:] != mean.shape or recorded != head.digest:
            raise UsageError(
                f"{ARRAYS} is not what {DOCUMENT} describes", where=folder, remedy="make the clusters again"
            )
        names = ClusterNames.from_dict(document, len(head), folder / DOCUMENT)
        return replace(head, names=names)


def written_document(folder: Path) -> dict[str, Any]:
    """Return the `clusters.json` that saving clusters would replace; an empty one if there is none.

    Raises:
        UsageError: If it cannot be read.
    """
    try:
        return read_document(folder / DOCUMENT)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise UsageError(
            f"cannot be read ({error.strerror})", where=folder / DOCUMENT, remedy="choose another folder"
        ) from error
    except UsageError as error:
        raise error.replace(remedy="mend it, or choose another folder") from error


class AssignedArray(LazyArray):
    """Array of a bag that is computed when it is first read: clusters, or their confidences.

    Args:
        length: Number of tiles.
        dtype: Data type of the elements.
        compute: Function that returns the array, [N].
    """

    def __init__(self, length: int, dtype: npt.DTypeLike, compute: Callable[[], npt.NDArray[Any]]) -> None:
        self._length, self._dtype, self._compute = length, np.dtype(dtype), compute

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return (self._length,)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the elements."""
        return self._dtype

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        return np.asarray(self._compute()[index])


def unit_rows(rows: Float32Array) -> Float32Array:
    """Scale rows to length 1; rows of zeros are unchanged."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(length, np.finfo(np.float32).tiny), np.float32)
