"""Cluster head: centroids that assign tiles to clusters by their features."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from wsi_embed.bags.array import LazyArray
from wsi_embed.errors import UsageError
from wsi_embed.util.digest import canonical_digest

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
        names: Name and colour (`#rrggbb`, or None) of some clusters, by number.
    """

    model_id: str
    mean: Float32Array
    centroids: Float32Array
    temperature: float
    about: dict[str, Any] = field(default_factory=dict)
    names: dict[int, tuple[str, str | None]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.centroids)

    @property
    def digest(self) -> str:
        """Digest of everything that determines the assignments."""
        parts = [self.mean.tobytes().hex(), self.centroids.tobytes().hex(), self.temperature]
        return canonical_digest([self.model_id, *parts])

    def assign(self, features: npt.ArrayLike) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.float16]]:
        """Assign tiles to clusters.

        Args:
            features: Features of the tiles, float [N, D].

        Returns:
            Clusters, int16 [N], and their confidences, float16 [N].

        Raises:
            UsageError: If the features have another width, or are not finite.
        """
        rows = np.asarray(features)
        if rows.ndim != 2 or rows.shape[1] != len(self.mean):
            raise UsageError(
                f"features of shape {rows.shape} do not fit clusters of {len(self.mean)} features"
            )
        cluster, confidence = np.empty(len(rows), np.int16), np.empty(len(rows), np.float16)
        for start in range(0, len(rows), BLOCK):
            part = slice(start, start + BLOCK)
            cosine = unit_rows(rows[part].astype(np.float32) - self.mean) @ self.centroids.T
            cluster[part] = cosine.argmax(1)
            logits = (cosine - cosine.max(1, keepdims=True)) / self.temperature
            confidence[part] = 1 / np.exp(logits).sum(1)
        return cluster, confidence

    def save(self, folder: Path) -> None:
        """Write `clusters.json` and `centroids.npz`.

        Args:
            folder: Output folder; created if missing.

        Raises:
            UsageError: If the folder cannot be written.
        """
        document = {
            "schema": SCHEMA,
            "model_id": self.model_id,
            "clusters": len(self),
            "temperature": self.temperature,
            "digest": self.digest,
            "names": {str(k): {"name": name, "colour": colour} for k, (name, colour) in self.names.items()},
            **self.about,
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            np.savez(folder / ARRAYS, mean=self.mean, centroids=self.centroids)
            (folder / DOCUMENT).write_text(json.dumps(document, indent=2) + "\n", "utf-8")
        except OSError as error:
            raise UsageError(
                f"cannot be written ({error.strerror})", where=folder, remedy="choose another folder"
            ) from error

    @classmethod
    def load(cls, folder: str | Path) -> ClusterHead:
        """Read the clusters that `wsi-embed cluster` wrote.

        Raises:
            UsageError: If the folder has none, or they are damaged.
        """
        folder = Path(folder)
        try:
            document = json.loads((folder / DOCUMENT).read_text("utf-8"))
            with np.load(folder / ARRAYS, allow_pickle=False) as arrays:
                mean, centroids = arrays["mean"].astype(np.float32), arrays["centroids"].astype(np.float32)
            names = {int(k): (str(v["name"]), v.get("colour")) for k, v in document.get("names", {}).items()}
            head = cls(document["model_id"], mean, centroids, float(document["temperature"]), {}, names)
            told = document["digest"]
        except FileNotFoundError as error:
            raise UsageError(
                "no clusters there", where=folder, remedy="make them with wsi-embed cluster"
            ) from error
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise UsageError(
                f"its clusters cannot be read ({error!r})", where=folder, remedy="make them again"
            ) from error
        if centroids.ndim != 2 or centroids.shape[1:] != mean.shape or told != head.digest:
            raise UsageError(
                f"{ARRAYS} is not what {DOCUMENT} describes", where=folder, remedy="make the clusters again"
            )
        known = {"schema", "model_id", "clusters", "temperature", "digest", "names"}
        head.about.update({k: v for k, v in document.items() if k not in known})
        return head


class AssignedArray(LazyArray):
    """Clusters or confidences of a bag's tiles, computed from its features when they are sliced.

    Args:
        features: Features of the bag.
        head: The clusters.
        part: Array to return, `cluster` or `cluster_confidence`.
    """

    def __init__(
        self, features: LazyArray, head: ClusterHead, part: Literal["cluster", "cluster_confidence"]
    ) -> None:
        super().__init__(features.zarr)
        self._features, self._head, self._part = features, head, part

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self._features.shape[:1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the elements."""
        return np.dtype(np.int16 if self._part == "cluster" else np.float16)

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        rows = self._features[index]
        found = self._head.assign(np.atleast_2d(rows))[0 if self._part == "cluster" else 1]
        return np.asarray(found if np.ndim(rows) == 2 else found[0])


def unit_rows(rows: Float32Array) -> Float32Array:
    """Scale rows to length 1; rows of zeros are unchanged."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(length, np.finfo(np.float32).tiny), np.float32)
