from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans
from torch import Tensor

from wsi_embed_train.kmeans import find_prototypes, kmeans


def blobs(count: int, clusters: int, spread: float = 0.05) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    centres = torch.randn(clusters, 8, generator=generator)[torch.arange(count) % clusters]
    return F.normalize(centres + spread * torch.randn(count, 8, generator=generator), dim=1)


def test_it_ends_where_rows_are_nearest_to_the_mean_of_their_cluster() -> None:
    rows = blobs(300, 6, 0.8)
    centroids, labels = kmeans(rows, 6, iterations=200)
    for k in range(6):
        torch.testing.assert_close(centroids[k], rows[labels == k].mean(dim=0))
    distance = ((rows[:, None] - centroids[None]) ** 2).sum(dim=2)
    assert torch.equal(distance.argmin(dim=1), labels)


def test_as_good_as_scikit_learn_from_the_same_rows() -> None:
    rows = blobs(400, 5, 0.5)
    first = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(3))[:5]]
    centroids, labels = kmeans(rows, 5, iterations=300, seed=3)
    theirs = KMeans(5, init=first.numpy(), n_init=1, max_iter=300, algorithm="lloyd", tol=0).fit(rows.numpy())
    assert np.array_equal(theirs.labels_, labels.numpy())
    assert float(((rows - centroids[labels]) ** 2).sum()) == pytest.approx(theirs.inertia_, rel=1e-5)


def test_a_cluster_that_loses_its_rows_starts_again() -> None:
    rows = torch.cat([torch.zeros(50, 2), torch.ones(1, 2)])
    rows[:, 0] += 1
    centroids, labels = kmeans(rows, 3)
    assert torch.isfinite(centroids).all()
    assert set(labels.tolist()) <= {0, 1, 2}


def test_densities_are_the_papers() -> None:
    rows = blobs(200, 4, 0.3)
    centroids, labels = kmeans(rows, 4)
    phi = []
    for k in range(4):
        of_cluster = rows[labels == k]
        distances = [float((v - centroids[k]).norm()) for v in of_cluster]
        phi.append(sum(distances) / (len(of_cluster) * math.log(len(of_cluster) + 10)))
    clipped = np.clip(phi, np.percentile(phi, 10), np.percentile(phi, 90))
    found = find_prototypes(rows, 4, 0.2)
    np.testing.assert_allclose(found.density.numpy(), 0.2 * clipped / clipped.mean(), rtol=1e-4)
    torch.testing.assert_close(found.centroids, F.normalize(centroids, dim=1))
