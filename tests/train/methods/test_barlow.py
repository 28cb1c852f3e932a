from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train.methods.made import linears, small, views, without_gradient
from wsi_embed_train.methods.barlow import BarlowTwins, cross_correlation_terms


def reference(z1: npt.NDArray[np.float64], z2: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Zbontar et al., 2021, equations 1 and 2, on columns with a mean of zero."""
    a, b = z1 - z1.mean(0), z2 - z2.mean(0)
    on = off = 0.0
    for i in range(a.shape[1]):
        for j in range(b.shape[1]):
            c = sum(a[:, i] * b[:, j]) / (math.sqrt(sum(a[:, i] ** 2)) * math.sqrt(sum(b[:, j] ** 2)))
            on += (1 - c) ** 2 if i == j else 0
            off += c**2 if i != j else 0
    return on, off


@settings(max_examples=25)
@given(st.integers(3, 12), st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_terms_equal_the_papers(batch: int, dim: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    z1, z2 = 10 * rng.normal(size=(batch, dim)), 10 * rng.normal(size=(batch, dim))
    on, off = cross_correlation_terms(torch.from_numpy(z1), torch.from_numpy(z2))
    assert (float(on), float(off)) == pytest.approx(reference(z1, z2), abs=1e-3)


def test_a_step() -> None:
    method = small(BarlowTwins, "barlow", redundancy=0.1)
    assert linears(method.encoder.projector) == [(512, 32, False), (32, 32, False), (32, 16, False)]
    step = method(views())
    z1, z2 = step.projection.double().numpy()[:6], step.projection.double().numpy()[6:]
    on, off = reference(z1, z2)
    assert float(step.loss.detach()) == pytest.approx(on + 0.1 * off, rel=1e-2)
    step.loss.backward()
    assert without_gradient(method) == []
