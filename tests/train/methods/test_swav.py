from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train.methods.made import linears, small, views, without_gradient
from wsi_embed_train.methods.swav import SwAV, sinkhorn, swapped_prediction

Floats = npt.NDArray[np.float64]


def reference_codes(scores: Floats, epsilon: float, iterations: int) -> Floats:
    """Caron et al., 2020, equation 5: diag(u) exp(S / epsilon) diag(v), u and v by turns (Cuturi, 2013)."""
    kernel = np.exp(scores.T / epsilon)  # prototypes x rows
    prototypes, rows = kernel.shape
    v = np.ones(rows)
    for _ in range(iterations):
        u = (1 / prototypes) / (kernel @ v)
        v = (1 / rows) / (kernel.T @ u)
    return np.asarray((u[:, None] * kernel * v[None]).T * rows)


def reference_loss(scores: list[Floats], codes: list[Floats], temperature: float) -> float:
    """Equation 2: cross entropy of each view's prediction with the other's code."""

    def cross_entropy(s: Floats, q: Floats) -> float:
        p = np.exp(s / temperature)
        return float(-(q * np.log(p / p.sum(1, keepdims=True))).sum(1).mean())

    return (cross_entropy(scores[0], codes[1]) + cross_entropy(scores[1], codes[0])) / 2


@settings(max_examples=25)
@given(st.integers(2, 12), st.integers(2, 6), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_codes_equal_the_papers(rows: int, prototypes: int, iterations: int, seed: int) -> None:
    scores = np.random.default_rng(seed).uniform(-1, 1, (rows, prototypes))
    codes = sinkhorn(torch.from_numpy(scores).float(), 0.25, iterations)
    np.testing.assert_allclose(codes.numpy(), reference_codes(scores, 0.25, iterations), atol=1e-4)


def test_codes_use_prototypes_equally() -> None:
    scores = torch.rand(64, 4)
    scores[:, 0] += 1  # every row would choose the first
    codes = sinkhorn(scores, 0.25, 50)
    torch.testing.assert_close(codes.mean(dim=0), torch.full((4,), 0.25), atol=1e-3, rtol=0)


def test_a_step() -> None:
    method = small(SwAV, "swav", queue=0, sinkhorn_epsilon=0.25)
    assert linears(method.encoder.projector) == [(512, 32, True), (32, 16, True)]
    step = method(views())
    units = [
        z / np.linalg.norm(z, axis=1, keepdims=True)
        for z in step.projection.double().numpy().reshape(2, 6, 16)
    ]
    scores = [z @ method.prototypes.weight.detach().double().numpy().T for z in units]
    codes = [reference_codes(s, 0.25, 3) for s in scores]
    assert float(step.loss.detach()) == pytest.approx(reference_loss(scores, codes, 0.1), abs=1e-4)
    step.loss.backward()
    assert without_gradient(method) == []


def test_no_gradient_through_the_codes() -> None:
    scores = [torch.randn(6, 4, requires_grad=True) for _ in range(2)]
    codes = [sinkhorn(s, 0.05, 3) for s in scores]
    assert not any(c.requires_grad for c in codes)
    assert swapped_prediction(scores, codes, 0.1).requires_grad


def test_prototypes_have_length_one_and_wait() -> None:
    method = small(SwAV, "swav", freeze_prototypes=0.5)
    for progress, moves in ((0.4, False), (0.6, True)):
        before = method.prototypes.weight.clone()
        optimizer = torch.optim.SGD(method.parameters(), lr=1.0)
        optimizer.zero_grad()
        method(views()).loss.backward()
        method.before_step(progress)
        optimizer.step()
        method.after_step(progress)
        moved = (before - method.prototypes.weight).detach().abs().max()
        assert (float(moved) > 1e-4) == moves
        torch.testing.assert_close(method.prototypes.weight.norm(dim=1), torch.ones(6))


def test_queue_keeps_the_newest_and_takes_part_late() -> None:
    method = small(SwAV, "swav", queue=10, queue_from=0.5)
    plain = small(SwAV, "swav", queue=0)
    for seed in range(3):
        torch.testing.assert_close(method(views(seed)).loss, plain(views(seed)).loss)
    newest = method(views(3)).projection[:6]
    torch.testing.assert_close(method.queue[0, :6], newest / newest.norm(dim=1, keepdim=True))
    method.after_step(0.5)
    plain.load_state_dict({**method.state_dict(), "queue": plain.queue})
    assert abs(float(method(views(4)).loss.detach() - plain(views(4)).loss.detach())) > 1e-5
