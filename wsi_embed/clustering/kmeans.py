"""Spherical k-means: clusters of rows by their direction."""

from __future__ import annotations

import numpy as np

from wsi_embed.bags.cluster_head import Float32Array, unit_rows
from wsi_embed.util.extras import needs_extra


def kmeans(rows: Float32Array, k: int, *, seed: int, starts: int) -> Float32Array:
    """Return centroids of length 1, float32 [k, D], of rows of length 1, by scikit-learn's k-means.

    Args:
        rows: Rows of length 1, float32 [N, D].
        k: Number of centroids, at most N.
        seed: Seed of the starts.
        starts: Number of starts, of which the best result is returned.

    Raises:
        MissingExtraError: If scikit-learn is not installed.
    """
    with needs_extra("cluster", "clustering"):
        from sklearn.cluster import KMeans
    fitted = KMeans(k, n_init=starts, random_state=seed).fit(rows)
    return unit_rows(np.asarray(fitted.cluster_centers_, np.float32))
