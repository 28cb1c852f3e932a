"""How a bag's tiles are spread over the clusters: a short descriptor of a slide or patient."""

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
    """Tiles of each cluster.

    Args:
        cluster: Cluster of each tile, [N].
        confidence: Softmax probability of that cluster, [N]: a tile counts as much, so that one between
            two clusters counts less. None counts every tile as 1.
        clusters: How many the model has, K.
        normalise: Shares that sum to 1, comparable between bags of different size, in place of counts.

    Returns:
        float64 [K]; all zero for a bag without tiles.

    Raises:
        UsageError: If the model has no cluster head.
    """
    if cluster is None or clusters is None:
        raise UsageError(
            "the store has no clusters: its model has no cluster head; embed with a CluBYOL or CluSiam model"
        )
    weights = None if confidence is None else np.asarray(confidence, np.float64)
    counts = np.bincount(np.asarray(cluster, np.int64), weights, minlength=clusters).astype(np.float64)
    total = counts.sum()
    return counts / total if normalise and total else counts
