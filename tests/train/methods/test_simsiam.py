from __future__ import annotations

import copy

import torch
import torch.nn.functional as F

from tests.train.methods.made import small, views, without_gradient
from wsi_embed_train.methods.simsiam import SimSiam


def test_loss_and_gradient_equal_the_papers_algorithm() -> None:
    """Chen and He, 2021, algorithm 1: D(p1, z2)/2 + D(p2, z1)/2 with a stopped gradient."""
    method = small(SimSiam, "simsiam")
    other = copy.deepcopy(method)
    view1, view2 = views()
    step = method([view1, view2])
    step.loss.backward()

    z1, z2 = other.encoder(view1), other.encoder(view2)
    p1, p2 = other.predictor(z1), other.predictor(z2)
    d12 = -(F.normalize(p1, dim=1) * F.normalize(z2.detach(), dim=1)).sum(dim=1).mean()
    d21 = -(F.normalize(p2, dim=1) * F.normalize(z1.detach(), dim=1)).sum(dim=1).mean()
    loss = d12 / 2 + d21 / 2
    loss.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(step.loss, loss)
    for (name, ours), theirs in zip(method.named_parameters(), other.parameters(), strict=True):
        if ours.requires_grad:
            torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=1e-3, msg=name)
    assert without_gradient(method) == []
    assert step.logits is None


def test_predictor_keeps_its_learning_rate() -> None:
    groups = small(SimSiam, "simsiam").parameter_groups(1e-4)
    assert [(len(g["params"]), g["fixed_lr"]) for g in groups][1:] == [(5, True)]
