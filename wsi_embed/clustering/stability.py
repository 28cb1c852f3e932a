"""Choice of the number of clusters by their stability between samples."""

from __future__ import annotations

import itertools

import numpy as np

from wsi_embed.bags.cluster_head import Float32Array
from wsi_embed.clustering.kmeans import kmeans
from wsi_embed.errors import UsageError
from wsi_embed.util.extras import needs_extra

CANDIDATES = (4, 5, 6, 8, 10, 12, 15, 20, 25, 30)
SAMPLES, STARTS = 4, 3
# Tiles in a sample: k-means runs once per candidate and sample.
MOST = 5_000
# With fewer tiles per cluster, the stability is noise.
LEAST_TILES = 20


def stable_count(rows: Float32Array, seed: int) -> int:
    """Return the number of clusters that is most stable (Ben-Hur, Elisseeff and Guyon, 2002).

    For each candidate, k-means runs on several random halves of the rows. Each result assigns all rows, and
    the mean adjusted Rand index of the pairs of results is the candidate's stability. Of candidates whose
    stability is within one standard error of the best, the largest is taken.

    Args:
        rows: Features scaled to length 1, float32 [N, D].
        seed: Seed of the halves and of k-means.

    Raises:
        UsageError: If there are too few tiles.
        MissingExtraError: If scikit-learn is not installed.
    """
    candidates = [k for k in CANDIDATES if k * LEAST_TILES <= len(rows)]
    if not candidates:
        least = CANDIDATES[0] * LEAST_TILES
        raise UsageError(
            f"`k='auto'` needs at least {least} tiles, and there are {len(rows)}", remedy="give a number"
        )
    rng = np.random.default_rng(seed)
    some = rows[np.sort(rng.permutation(len(rows))[:MOST])]
    halves = [np.sort(rng.permutation(len(some))[: len(some) // 2]) for _ in range(SAMPLES)]
    found = {k: _agreement(some, k, halves, seed) for k in candidates}
    best, error = max(found.values())
    return max(k for k, (mean, _) in found.items() if mean >= best - error)


def _agreement(rows: Float32Array, k: int, halves: list[np.ndarray], seed: int) -> tuple[float, float]:
    """Return mean and standard error of the adjusted Rand index over pairs of halves."""
    with needs_extra("cluster", "`k='auto'`"):
        from sklearn.metrics import adjusted_rand_score
    labels = []
    for half in halves:
        centroids = kmeans(rows[half], k, seed=seed, starts=STARTS)
        labels.append((rows @ centroids.T).argmax(1))
    scores = [adjusted_rand_score(a, b) for a, b in itertools.combinations(labels, 2)]
    return float(np.mean(scores)), float(np.std(scores) / np.sqrt(len(scores)))
