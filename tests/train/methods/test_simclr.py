from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train.methods.made import linears, small, views, without_gradient
from wsi_embed_train.methods.simclr import SimCLR, nt_xent


def reference(z1: npt.NDArray[np.float64], z2: npt.NDArray[np.float64], temperature: float) -> float:
    """Chen et al., 2020, equation 1, one pair at a time."""
    rows = [z / math.sqrt(z @ z) for z in np.concatenate([z1, z2])]
    half, losses = len(z1), []
    for i in range(2 * half):
        j = (i + half) % (2 * half)
        scores = [math.exp(rows[i] @ rows[k] / temperature) for k in range(2 * half) if k != i]
        losses.append(-math.log(math.exp(rows[i] @ rows[j] / temperature) / sum(scores)))
    return sum(losses) / len(losses)


@settings(max_examples=25)
@given(st.integers(2, 9), st.integers(2, 6), st.sampled_from([0.1, 0.5, 2.0]), st.integers(0, 2**32 - 1))
def test_loss_equals_the_papers(batch: int, dim: int, temperature: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    z1, z2 = rng.normal(size=(batch, dim)), rng.normal(size=(batch, dim))
    ours = nt_xent(torch.from_numpy(z1), torch.from_numpy(z2), temperature)
    assert float(ours) == pytest.approx(reference(z1, z2, temperature), abs=1e-4)


def test_a_step() -> None:
    method = small(SimCLR, "simclr")
    assert linears(method.encoder.projector) == [(512, 32, False), (32, 16, False)]
    step = method(views())
    z1, z2 = step.projection.double().numpy()[:6], step.projection.double().numpy()[6:]
    assert float(step.loss.detach()) == pytest.approx(reference(z1, z2, 0.1), abs=1e-3)
    step.loss.backward()
    assert without_gradient(method) == []
    assert step.logits is None


def test_float32_under_autocast() -> None:
    z1, z2 = torch.randn(2, 8, 4).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(nt_xent(z1, z2, 0.1), nt_xent(z1.float(), z2.float(), 0.1))
