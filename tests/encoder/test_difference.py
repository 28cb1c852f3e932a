from __future__ import annotations

import numpy as np
import pytest

from wsi_embed.encoder import Encoded
from wsi_embed.encoder.difference import difference


def encoded(features: object, cluster: object = None, confidence: object = None) -> Encoded:
    return Encoded(
        np.asarray(features, np.float32),
        None if cluster is None else np.asarray(cluster, np.int64),
        None if confidence is None else np.asarray(confidence, np.float32),
    )


def test_the_same_is_the_same() -> None:
    a = encoded(np.random.default_rng(0).normal(size=(9, 4)), np.arange(9), np.full(9, 0.5))
    found = difference(a, a)
    assert (found.max_error, found.cluster_agreement, found.confidence_error) == (0.0, 1.0, 0.0)
    assert min(found.min_cosine, found.centred_cosine, found.min_centred_cosine) == pytest.approx(1.0)


def test_unrelated_features_with_a_common_mean_are_told_apart_by_the_centred_cosine_alone() -> None:
    rng = np.random.default_rng(1)
    mean = rng.normal(size=64) * 100
    found = difference(encoded(mean + rng.normal(size=(50, 64))), encoded(mean + rng.normal(size=(50, 64))))
    assert found.min_cosine > 0.999
    assert abs(found.centred_cosine) < 0.2


def test_figures_by_hand() -> None:
    a = encoded([[1, 0], [0, 1], [-1, -1]], [0, 1, 2], [0.9, 0.8, 0.7])  # its mean is zero
    b = encoded([[1, 0], [1, 0], [-1, -1]], [0, 0, 2], [0.9, 0.6, 0.7])
    found = difference(a, b)
    assert found.max_error == 1.0
    assert found.min_cosine == found.min_centred_cosine == pytest.approx(0.0)
    assert found.centred_cosine == pytest.approx(2 / 3)
    assert found.cluster_agreement == pytest.approx(2 / 3)
    assert found.confidence_error == pytest.approx(0.2)
    assert found.clear_cluster_agreement is None
    clear = difference(a, b, clear=np.array([True, False, True]))
    assert (clear.cluster_agreement, clear.clear_cluster_agreement) == (found.cluster_agreement, 1.0)
    ties_only = difference(a, b, clear=np.zeros(3, np.bool_))
    assert (ties_only.cluster_agreement, ties_only.clear_cluster_agreement) == (found.cluster_agreement, 1.0)


def test_without_clusters_there_are_no_figures_of_clusters() -> None:
    found = difference(encoded([[1, 2]]), encoded([[1, 2]], [0], [1.0]))
    assert found.to_dict().keys() == {"max_error", "min_cosine", "centred_cosine", "min_centred_cosine"}


def test_widths_must_agree() -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        difference(encoded([[1, 2]]), encoded([[1, 2, 3]]))
