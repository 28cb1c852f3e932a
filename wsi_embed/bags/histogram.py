"""Distribution of a bag's tiles over the clusters: a short descriptor of a slide or patient."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wsi_embed.errors import UsageError


def cluster_histogram(
    cluster: npt.ArrayLike | None,
    confidence: npt.ArrayLike | None,
    clusters: int | None,
    normalise: bool,
) -> npt.NDArray[np.float64]:
    """Count the tiles of each cluster.

    Args:
        cluster: Cluster of each tile, [N].
        confidence: Softmax probability of that cluster, [N], used as weight, so that ambiguous tiles count
            less. None weights every tile by 1.
        clusters: Number of clusters of the model, K.
        normalise: Whether to return shares that sum to 1 instead of counts, to compare bags of different
            size.

    Returns:
        Counts or shares, float64 [K]; all zero for a bag without tiles.

    Raises:
        UsageError: If the model has no cluster head.
    """
    if cluster is None or clusters is None:
        raise UsageError(
            "the store has no clusters: its model has no cluster head",
            remedy="embed with a CluBYOL or CluSiam model",
        )
    weights = None if confidence is None else np.asarray(confidence, np.float64)
    counts = np.bincount(np.asarray(cluster, np.int64), weights, minlength=clusters).astype(np.float64)
    total = counts.sum()
    return counts / total if normalise and total else counts
