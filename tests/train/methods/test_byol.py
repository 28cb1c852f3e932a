from __future__ import annotations

import copy

import torch

from tests.train.methods.made import linears, small, views, without_gradient
from wsi_embed_train.methods.byol import BYOL
from wsi_embed_train.methods.clubyol import CluBYOL


def test_loss_is_half_the_squared_distance_of_unit_vectors() -> None:
    """Grill et al., 2020, equation 2, with both orders of the views."""
    method = small(BYOL, "byol")
    other = copy.deepcopy(method)
    view1, view2 = views()
    step = method([view1, view2])
    with torch.no_grad():
        p1, p2 = (other.predictor(other.encoder(view)).double().numpy() for view in (view1, view2))
        t1, t2 = (other.target(view).double().numpy() for view in (view1, view2))

    def distance(p: object, t: object) -> float:
        total = 0.0
        for a, b in zip(p, t, strict=True):  # type: ignore[call-overload]
            total += float((((a / (a @ a) ** 0.5) - (b / (b @ b) ** 0.5)) ** 2).sum())
        return total / len(view1)

    torch.testing.assert_close(float(step.loss.detach()), (distance(p1, t2) + distance(p2, t1)) / 2)
    assert step.logits is None
    assert step.projection.shape == (12, 16)


def test_it_is_clubyol_without_the_cluster_term() -> None:
    with_clusters = small(CluBYOL, "clubyol", alpha=0.0)
    method = small(BYOL, "byol")
    names = {n for n, _ in with_clusters.named_parameters()}
    assert names - {n for n, _ in method.named_parameters()} == {
        f"cluster_{part}" for part in ("projector.0.weight", "projector.0.bias", "projector.1.weight",
        "projector.1.bias", "assigner.weight", "assigner.bias")
    }  # fmt: skip
    assert linears(method.predictor) == [(16, 32, True), (32, 16, True)]
    torch.testing.assert_close(method(views()).loss, with_clusters(views()).loss)


def test_gradient_reaches_everything_but_the_target() -> None:
    method = small(BYOL, "byol")
    method(views()).loss.backward()
    assert all(p.grad is None for p in method.target.parameters())
    assert without_gradient(method) == []
