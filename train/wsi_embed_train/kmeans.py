"""K-means of unit vectors on any device, and the density of the clusters."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

ITERATIONS = 20
BLOCK = 8192
# Keeps small clusters from getting extreme densities (Li et al., 2021: alpha = 10).
SMOOTHING = 10.0


@dataclass(frozen=True)
class Prototypes:
    """Centroids and densities of clusters.

    Attributes:
        centroids: Unit rows, float32 [K, D].
        density: Temperature phi of each cluster, float32 [K]; small for a dense cluster.
    """

    centroids: Tensor
    density: Tensor


def kmeans(
    rows: Tensor, clusters: int, *, iterations: int = ITERATIONS, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Cluster rows by Lloyd's algorithm, starting from rows drawn at random.

    A cluster that loses all its rows restarts at a row drawn at random.

    Args:
        rows: float [N, D], N at least `clusters`.
        clusters: Number of clusters K.
        iterations: Maximum number of iterations. It stops earlier if no row changes its cluster.
        seed: Seed of the draws, independent of the global one, so that all processes and a resumed run draw
            the same rows.

    Returns:
        Centroids [K, D], and the cluster of each row, int64 [N].
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(count: int) -> Tensor:
        return rows[torch.randperm(len(rows), generator=generator)[:count].to(rows.device)]

    centroids = draw(clusters)
    labels = _nearest(rows, centroids)
    for _ in range(iterations):
        counts = torch.bincount(labels, minlength=clusters)
        sums = torch.zeros_like(centroids).index_add_(0, labels, rows)
        centroids = sums / counts.clamp(min=1).unsqueeze(1)
        empty = counts == 0
        centroids[empty] = draw(int(empty.sum()))
        before, labels = labels, _nearest(rows, centroids)
        if torch.equal(before, labels):
            break
    return centroids, labels


def find_prototypes(rows: Tensor, clusters: int, temperature: float) -> Prototypes:
    """Cluster unit rows and estimate the density of each cluster (Li et al., 2021, equation 12).

    The density of a cluster of Z rows is `phi = sum |v - c| / (Z log(Z + 10))`. Clusters of one row get the
    largest density. All densities are clipped to the 10th and 90th percentile, as in the authors' code, and
    scaled to the mean `temperature`.

    Args:
        rows: Unit rows, float32 [N, D].
        clusters: Number of clusters K.
        temperature: Mean of the densities.
    """
    centroids, labels = kmeans(rows, clusters)
    distance = (rows - centroids[labels]).norm(dim=1)
    counts = torch.bincount(labels, minlength=clusters).float()
    total = torch.zeros(clusters, device=rows.device).index_add_(0, labels, distance)
    density = total / (counts.clamp(min=1) * (counts + SMOOTHING).log())
    density = torch.where(counts > 1, density, density.max())
    low, high = density.quantile(0.1), density.quantile(0.9)
    density = density.clamp(low, high).clamp(min=1e-6)
    return Prototypes(F.normalize(centroids, dim=1), density * temperature / density.mean())


def _nearest(rows: Tensor, centroids: Tensor) -> Tensor:
    return torch.cat([torch.cdist(part, centroids).argmin(dim=1) for part in torch.split(rows, BLOCK)])
