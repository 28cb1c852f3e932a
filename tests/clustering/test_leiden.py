"""Clusters by communities of nearest neighbours."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tests.clustering.test_fit import DIM, KINDS, features_of, kinds_of
from wsi_embed.bags.cluster_head import unit_rows
from wsi_embed.clustering import leiden as module
from wsi_embed.clustering.fit import fit_features
from wsi_embed.clustering.leiden import leiden
from wsi_embed.errors import UsageError

pytest.importorskip("sklearn")
pytest.importorskip("igraph")

ABOUT = {"model_id": "sha256:0", "source": "made"}


def test_planted_clusters_and_their_number_are_found() -> None:
    from sklearn.metrics import adjusted_rand_score

    kinds = kinds_of(900, 1)
    features = features_of(kinds, 0.1, 1)
    head = fit_features(features, None, method="leiden", resolution=0.5, seed=2, **ABOUT)
    assert len(head) == KINDS
    assert adjusted_rand_score(kinds, head.assign(features)[0]) == 1.0
    assert head.about["shares"] == sorted(head.about["shares"], reverse=True)
    assert (head.about["method"], head.about["resolution"]) == ("leiden", 0.5)


def test_a_larger_resolution_gives_more_clusters() -> None:
    rows = unit_rows(features_of(kinds_of(600, 1), 0.3, 1) - 5)
    few, many = (len(leiden(rows, resolution=resolution, seed=0)) for resolution in (0.3, 4.0))
    assert few < many


def test_the_same_seed_gives_the_same_centroids_whatever_was_drawn_before() -> None:
    rows = unit_rows(features_of(kinds_of(300, 1), 0.5, 1) - 5)
    first = leiden(rows, resolution=1.0, seed=3)
    random.random()
    np.random.default_rng().random()
    np.testing.assert_array_equal(leiden(rows, resolution=1.0, seed=3), first)


def test_a_sample_of_many_tiles_gives_the_same_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 400)
    rows = unit_rows(features_of(kinds_of(2000, 1), 0.1, 1) - 5)
    found = leiden(rows, resolution=0.5, seed=0)
    assert found.shape == (KINDS, DIM)
    assert found.dtype == np.float32


def test_outliers_are_no_cluster_of_their_own() -> None:
    features = features_of(np.repeat([0, 1], 60), 0.05, 1) - 5
    far = features_of(np.repeat([4], 5), 0.05, 2) - 5
    assert len(leiden(unit_rows(np.concatenate([features, far])), resolution=0.5, seed=0)) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"method": "louvain"}, "choose kmeans or leiden"),
        ({"method": "leiden", "k": 4}, "finds the number of clusters itself; give `resolution=`"),
        ({"method": "leiden", "resolution": 0.0}, "above 0"),
        ({"method": "leiden", "resolution": float("nan")}, "above 0"),
        ({"method": "leiden", "resolution": 1000.0}, "no community has 10 tiles"),
        ({"resolution": 2.0}, "only Leiden has a resolution"),
    ],
)
def test_wrong_arguments_are_one_line(arguments: dict[str, object], says: str) -> None:
    features = features_of(kinds_of(100, 1), 0.3, 1)
    with pytest.raises(UsageError, match=says):
        fit_features(features, arguments.pop("k", None), **ABOUT, **arguments)  # type: ignore[arg-type]


def test_too_few_tiles_are_refused() -> None:
    with pytest.raises(UsageError, match="needs more than 15 tiles, and there are 12"):
        leiden(unit_rows(features_of(kinds_of(12, 1), 0.3, 1)), resolution=1.0, seed=0)
