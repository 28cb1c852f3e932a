"""Difference between two encodings of the same tiles."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from wsi_embed.encoder.base import Encoded


@dataclass(frozen=True)
class Difference:
    """Agreement of two encodings of the same N tiles.

    Feature vectors that share a large mean have a cosine near 1 however much they differ otherwise. The
    centred figures are more informative: the mean feature of the reference is subtracted from both sides
    first.

    Attributes:
        max_error: Largest absolute difference of a feature.
        min_cosine: Smallest cosine between a tile's two feature vectors.
        centred_cosine: Mean cosine over the tiles, after centring.
        min_centred_cosine: Smallest cosine, after centring.
        cluster_agreement: Share of tiles with the same cluster; None without clusters.
        clear_cluster_agreement: The same share without near-ties, whose cluster may be either of two; None if
            it is unknown which tiles these are.
        confidence_error: Largest difference of a cluster's probability; None without clusters.
    """

    max_error: float
    min_cosine: float
    centred_cosine: float
    min_centred_cosine: float
    cluster_agreement: float | None = None
    clear_cluster_agreement: float | None = None
    confidence_error: float | None = None

    def to_dict(self) -> dict[str, float]:
        """Return plain values for metadata and JSON, without the fields that are None."""
        return {k: round(v, 7) for k, v in asdict(self).items() if v is not None}


def difference(
    reference: Encoded, other: Encoded, *, clear: npt.NDArray[np.bool_] | None = None
) -> Difference:
    """Compare two encodings tile by tile.

    Args:
        reference: Reference features [N, D], with clusters if the model has them.
        other: Encoding of the same tiles by another model or runtime, of the same width.
        clear: Mask [N] of the tiles that are no near-ties between two clusters, if that is known.

    Raises:
        ValueError: If the features have different shapes.
    """
    a, b = reference.features.astype(np.float64), other.features.astype(np.float64)
    if a.shape != b.shape:
        raise ValueError(f"features of shapes {a.shape} and {b.shape} cannot be compared")
    centred = cosines(a - a.mean(0), b - a.mean(0))
    agreement = clear_agreement = confidence = None
    if reference.cluster is not None and other.cluster is not None:
        same = reference.cluster == other.cluster
        agreement = float(same.mean())
        if clear is not None:
            clear_agreement = float(same[clear].mean()) if clear.any() else 1.0
        if reference.confidence is not None and other.confidence is not None:
            confidence = float(np.abs(reference.confidence - other.confidence).max())
    return Difference(
        max_error=float(np.abs(a - b).max()),
        min_cosine=float(cosines(a, b).min()),
        centred_cosine=float(centred.mean()),
        min_centred_cosine=float(centred.min()),
        cluster_agreement=agreement,
        clear_cluster_agreement=clear_agreement,
        confidence_error=confidence,
    )


def cosines(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the cosine of each pair of rows, [N]; 0 where a row is zero."""
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray((a * b).sum(1) / np.maximum(norms, 1e-30))
