"""K-means of unit vectors on any device, and how dense its clusters are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

ITERATIONS = 20
BLOCK = 8192
# Keeps the densities of small clusters apart from those of large ones (Li et al., 2021: alpha = 10).
SMOOTHING = 10.0


@dataclass(frozen=True)
class Prototypes:
    """Centres of clusters.

    Attributes:
        centroids: Unit rows, float32 [K, D].
        density: Temperature phi of each cluster, float32 [K]; a dense cluster's is small.
    """

    centroids: Tensor
    density: Tensor


def kmeans(
    rows: Tensor, clusters: int, *, iterations: int = ITERATIONS, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Lloyd's algorithm, from rows drawn at random.

    A cluster that loses all its rows starts again at a row drawn at random.

    Args:
        rows: float [N, D], N at least `clusters`.
        clusters: K.
        iterations: At most so many; it ends when no row changes its cluster.
        seed: Of the draws: of their own, so that all processes and a resumed run draw the same.

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
    """Cluster unit rows; densities as in Li et al., 2021, equation 12.

    `phi = sum |v - c| / (Z log(Z + 10))` of a cluster of Z rows; clusters of one row get the largest, all
    are kept within the 10th and 90th percentile (as the authors' code does) and brought to the mean
    `temperature`.

    Args:
        rows: Unit rows, float32 [N, D].
        clusters: K.
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
