"""A second opinion: lightly's losses in one process, where ours and theirs are the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from wsi_embed_train.methods.barlow import cross_correlation_terms
from wsi_embed_train.methods.dino import cross_entropy
from wsi_embed_train.methods.siamese import mean_cosine
from wsi_embed_train.methods.simclr import nt_xent
from wsi_embed_train.methods.swav import sinkhorn, swapped_prediction

losses: Any = pytest.importorskip("lightly.loss")


def rows(seed: int, dim: int = 16) -> torch.Tensor:
    return torch.randn(12, dim, generator=torch.Generator().manual_seed(seed))


def test_simclr() -> None:
    torch.testing.assert_close(nt_xent(rows(0), rows(1), 0.1), losses.NTXentLoss(0.1)(rows(0), rows(1)))


def test_barlow() -> None:
    on, off = cross_correlation_terms(rows(0), rows(1))
    torch.testing.assert_close(
        on + 0.005 * off, losses.BarlowTwinsLoss(0.005)(rows(0), rows(1)), rtol=1e-4, atol=1e-4
    )


def test_swav() -> None:
    scores = [torch.tanh(rows(0)), torch.tanh(rows(1))]
    codes = [sinkhorn(s, 0.05, 3) for s in scores]
    expected = losses.SwaVLoss(0.1, 3, 0.05)(scores, [])
    torch.testing.assert_close(swapped_prediction(scores, codes, 0.1), expected.squeeze())


def test_dino() -> None:
    views = [rows(seed) for seed in range(4)]
    wanted = [rows(seed) for seed in (4, 5)]
    loss = losses.DINOLoss(16, teacher_temp=0.05)
    loss.center = rows(6)[:1, None]
    teacher = torch.stack([((row - rows(6)[0]) / 0.05).softmax(dim=1) for row in wanted])
    student = torch.stack([(row / 0.1).log_softmax(dim=1) for row in views])
    torch.testing.assert_close(cross_entropy(teacher, student), loss(wanted, views))


def test_negative_cosine() -> None:
    torch.testing.assert_close(
        -mean_cosine(rows(0), rows(1)), losses.NegativeCosineSimilarity()(rows(0), rows(1))
    )
