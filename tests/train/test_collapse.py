from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_embed_train.collapse import assignment_figures, diagnose, representation_figures


def gaussian(rows: int, width: int, rank: int | None = None, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    if rank is None:
        return torch.randn(rows, width, generator=generator)
    return torch.randn(rows, rank, generator=generator) @ torch.randn(rank, width, generator=generator)


def test_rows_all_over_the_sphere_have_a_spread_of_one() -> None:
    assert representation_figures(gaussian(4000, 64))["feature_std"] == pytest.approx(1, abs=0.02)


def test_equal_rows_have_none() -> None:
    figures = representation_figures(torch.ones(50, 8) + 1e-4 * gaussian(50, 8))
    assert figures["feature_std"] < 1e-3


@pytest.mark.parametrize("rank", [1, 3, 10])
def test_the_effective_rank_of_few_directions(rank: int) -> None:
    basis = torch.linalg.qr(gaussian(64, rank)).Q.T  # equally strong directions
    rows = torch.linalg.qr(gaussian(200, rank) - gaussian(200, rank).mean(0)).Q @ basis
    assert representation_figures(rows)["effective_rank"] == pytest.approx(rank, rel=0.02)


@settings(max_examples=20)
@given(st.integers(2, 40), st.integers(2, 12), st.integers(0, 2**31))
def test_representation_figures_equal_numpy(rows: int, width: int, seed: int) -> None:
    features = gaussian(rows, width, seed=seed).numpy().astype(np.float64)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    values = np.linalg.svd(features - features.mean(0), compute_uv=False)
    share = values / values.sum()
    share = share[share > 1e-12]
    figures = representation_figures(torch.from_numpy(features))
    assert figures["feature_std"] == pytest.approx(unit.std(0, ddof=1).mean() * math.sqrt(width), rel=1e-3)
    assert figures["effective_rank"] == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-3)


def test_one_cluster_for_all() -> None:
    logits = torch.zeros(100, 10)
    logits[:, 3] = 30
    figures = assignment_figures(logits)
    assert (figures["clusters_used"], figures["clusters_noisy"], figures["largest_share"]) == (1, 1, 1)
    assert (figures["noise_kept"], figures["assignment_entropy"], figures["logit_margin"]) == (1, 0, 30)


def test_near_uniform_logits_are_spread_by_the_noise_alone() -> None:
    logits = 1e-3 * gaussian(2000, 20)
    logits[:, 7] += 0.02  # without noise everything is in one cluster
    figures = assignment_figures(logits)
    assert figures["clusters_used"] == 1
    assert figures["clusters_noisy"] == 20
    assert figures["noise_kept"] == pytest.approx(1 / 20, abs=0.02)


def test_clear_and_even_assignments() -> None:
    figures = assignment_figures(20 * torch.eye(5).repeat(30, 1))
    assert figures["clusters_used"] == figures["clusters_noisy"] == 5
    assert figures["noise_kept"] > 0.99
    assert figures["assignment_entropy"] == pytest.approx(1)
    assert figures["largest_share"] == pytest.approx(0.2)


def test_the_noise_keeps_what_the_softmax_says() -> None:
    """Gumbel's trick: with noise a cluster is drawn by its softmax probability."""
    logits = torch.tensor([[2.0, 1.0, 0.0]]).repeat(20_000, 1)
    assert assignment_figures(logits)["noise_kept"] == pytest.approx(float(logits[0].softmax(0)[0]), abs=0.01)


def test_looking_changes_no_training() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    assignment_figures(gaussian(10, 4))
    representation_figures(gaussian(10, 4))
    assert torch.equal(torch.rand(3), expected)


def test_half_precision_is_no_problem() -> None:
    assert assignment_figures(torch.eye(3).bfloat16())["logit_margin"] == 1.0
    assert math.isfinite(representation_figures(gaussian(8, 4).bfloat16())["effective_rank"])


HEALTHY = {
    "feature_std": 0.7, "effective_rank": 77.0, "clusters_used": 47.0, "clusters_noisy": 90.0,
    "noise_kept": 0.03, "largest_share": 0.11, "assignment_entropy": 0.73, "logit_margin": 0.15,
}  # fmt: skip


def kind(patience: int = 1, **changes: float) -> str | None:
    found = diagnose([HEALTHY | changes] * patience, 100, patience)
    return found.kind if found else None


def test_the_published_recipes_own_figures_are_no_collapse() -> None:
    """As measured: 300 steps, 64 px, batch 128, on real tiles."""
    assert kind() is None


def test_a_collapse_as_measured_is_named() -> None:
    """The same with learning rate 5 and EMA 0.5, after 80 steps: five clusters left, and sure of them."""
    measured = {
        "feature_std": 0.7002, "effective_rank": 33.66, "clusters_used": 5.0, "clusters_noisy": 5.0,
        "noise_kept": 0.9609, "largest_share": 0.5195, "assignment_entropy": 0.288, "logit_margin": 7.9756,
    }  # fmt: skip
    found = diagnose([measured], 100, 1)
    assert found is not None
    assert found.kind == "dominant cluster"
    assert "5 of 100 clusters take all tiles, the largest 52 %" in found.what


def test_each_collapse_has_its_name_and_remedy() -> None:
    assert kind(feature_std=0.05) == kind(effective_rank=1.4) == "representation"
    assert kind(largest_share=0.97, noise_kept=0.95, clusters_used=2, clusters_noisy=9) == "dominant cluster"
    assert kind(clusters_used=3, clusters_noisy=96, noise_kept=0.02, largest_share=0.6) == "noise decides"
    remedies = [
        diagnose([HEALTHY | changes], 100, 1)
        for changes in ({"largest_share": 0.97, "noise_kept": 0.95}, {"clusters_used": 3.0})
    ]
    assert "lower alpha" in str(remedies[0])
    assert "raise alpha" in str(remedies[1])


def test_one_bad_batch_is_no_collapse() -> None:
    bad = HEALTHY | {"feature_std": 0.05}
    assert diagnose([bad, HEALTHY, bad], 100, 3) is None
    assert diagnose([HEALTHY, bad, bad, bad], 100, 3) is not None
    assert diagnose([bad, bad], 100, 3) is None


def test_without_cluster_head_only_the_representation_counts() -> None:
    figures = {"feature_std": 0.7, "effective_rank": 40.0}
    assert diagnose([figures], None, 1) is None
    assert diagnose([figures | {"effective_rank": 1.0}], None, 1) is not None
