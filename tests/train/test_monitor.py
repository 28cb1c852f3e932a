from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_embed_train.monitor import cluster_figures


def test_collapse_into_one_cluster_shows() -> None:
    logits = torch.tensor([[9.0, 0.0, 1.0]] * 5)
    assert cluster_figures(logits) == {"clusters_used": 1.0, "largest_share": 1.0, "logit_margin": 8.0}


def test_even_use_shows() -> None:
    figures = cluster_figures(torch.eye(4).repeat(3, 1))
    assert figures == {"clusters_used": 4.0, "largest_share": 0.25, "logit_margin": 1.0}


def test_near_uniform_logits_show_as_a_small_margin() -> None:
    assert cluster_figures(torch.randn(64, 10) * 1e-3)["logit_margin"] < 1e-2


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.integers(2, 8), st.integers(0, 2**31))
def test_equals_a_loop(rows: int, clusters: int, seed: int) -> None:
    logits = torch.randn(rows, clusters, generator=torch.Generator().manual_seed(seed))
    counts: dict[int, int] = {}
    margin = 0.0
    for row in logits.tolist():
        winner = row.index(max(row))
        counts[winner] = counts.get(winner, 0) + 1
        best, second = sorted(row, reverse=True)[:2]
        margin += (best - second) / rows
    figures = cluster_figures(logits)
    assert figures["clusters_used"] == len(counts)
    assert figures["largest_share"] == pytest.approx(max(counts.values()) / rows)
    assert figures["logit_margin"] == pytest.approx(margin, rel=1e-4, abs=1e-6)


def test_half_precision_logits() -> None:
    assert cluster_figures(torch.eye(3).bfloat16())["logit_margin"] == 1.0
