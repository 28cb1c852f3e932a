from __future__ import annotations

import copy

import pytest
import torch

from tests.train.methods.made import linears, mean_cosine, norms, small, views, without_gradient
from tests.train.test_clustering import reference
from wsi_embed_train import build_method, load_recipe
from wsi_embed_train.methods.clusiam import CluSiam


@pytest.fixture(scope="module")
def published() -> CluSiam:
    method = build_method("clusiam", vars(load_recipe("clusiam")))
    assert isinstance(method, CluSiam)
    return method


def test_networks_are_the_published_ones(published: CluSiam) -> None:
    assert linears(published.encoder.projector) == [(512, 512, False), (512, 512, False), (512, 2048, True)]
    assert norms(published.encoder.projector) == [(512, True), (512, True), (2048, False)]
    assert linears(published.predictor) == [(2048, 512, False), (512, 2048, True)]
    assert norms(published.predictor) == [(512, True)]
    assert linears(published.cluster_projector) == [(2048, 512, True)]
    assert norms(published.cluster_projector) == [(512, True)]
    assert linears(published.cluster_assigner) == [(512, 100, True)]
    assert not published.encoder.get_parameter("projector.6.bias").requires_grad
    assert not published.encoder.backbone.get_parameter("layer1.0.bn2.weight").any()


def test_predictor_keeps_its_learning_rate_as_published(published: CluSiam) -> None:
    fixed = [g for g in published.parameter_groups(1e-4) if g["fixed_lr"]]
    assert [id(p) for g in fixed for p in g["params"]] == [id(p) for p in published.predictor.parameters()]


def test_loss_equals_the_published_formula() -> None:
    method = small(CluSiam, "clusiam", alpha=0.3)
    other = copy.deepcopy(method)
    view1, view2 = views()
    torch.manual_seed(3)
    step = method([view1, view2])

    z1, z2 = other.encoder(view1), other.encoder(view2)
    p1, p2 = other.predictor(z1), other.predictor(z2)
    invariance = -(mean_cosine(p1, z2.detach()) + mean_cosine(p2, z1.detach()))
    logits = torch.cat([other.cluster_assigner(other.cluster_projector(z)) for z in (z1, z2)])
    torch.manual_seed(3)
    loss = 0.7 * invariance + 0.3 * reference(torch.cat([z1, z2]), logits)
    torch.testing.assert_close(step.loss, loss)
    torch.testing.assert_close(step.logits, logits.detach())

    step.loss.backward()
    loss.backward()  # type: ignore[no-untyped-call]
    for (name, ours), theirs in zip(method.named_parameters(), other.parameters(), strict=True):
        if ours.requires_grad:
            assert ours.grad is not None
            assert theirs.grad is not None
            torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-4, rtol=1e-3, msg=name)
    assert without_gradient(method) == []
