from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from tests.train.methods.made import count, linears, mean_cosine, norms, small, views, without_gradient
from tests.train.test_clustering import reference
from wsi_embed_train import build_method, cluster_similarity, load_recipe
from wsi_embed_train.methods.clubyol import CluBYOL


@pytest.fixture(scope="module")
def published() -> CluBYOL:
    method = build_method("clubyol", vars(load_recipe("clubyol-paper")))
    assert isinstance(method, CluBYOL)
    return method


@pytest.fixture
def tiny() -> CluBYOL:
    return small(CluBYOL, "clubyol", alpha=0.7, ema=0.9, ema_end=0.9)


def test_projector_is_the_published_one(published: CluBYOL) -> None:
    projector = published.encoder.projector
    assert linears(projector) == [(512, 512, False), (512, 512, False), (512, 256, True)]
    assert norms(projector) == [(512, True), (512, True), (256, False)]


def test_last_bias_of_the_projector_is_not_learned(published: CluBYOL) -> None:
    last = [m for m in published.encoder.projector.modules() if isinstance(m, nn.Linear)][-1]
    assert not last.bias.requires_grad
    assert last.weight.requires_grad


def test_predictor_is_the_published_one(published: CluBYOL) -> None:
    assert linears(published.predictor) == [(256, 4096, True), (4096, 256, True)]
    assert norms(published.predictor) == [(4096, True)]


def test_cluster_head_is_the_published_one(published: CluBYOL) -> None:
    assert linears(published.cluster_projector) == [(256, 256, True)]
    assert norms(published.cluster_projector) == [(256, True)]
    assert linears(published.cluster_assigner) == [(256, 100, True)]


def test_parameter_counts(published: CluBYOL) -> None:
    assert count(published.encoder.backbone) == 11_689_512 - 513_000  # ResNet-18 without its classifier
    assert count(published.encoder.projector) == 2 * 512 * 512 + 2 * 2 * 512 + 512 * 256 + 256
    assert count(published.predictor) == 256 * 4096 + 4096 + 2 * 4096 + 4096 * 256 + 256
    assert count(published.cluster_projector) == 256 * 256 + 256 + 2 * 256
    assert count(published.cluster_assigner) == 256 * 100 + 100
    assert count(published.target) == count(published.encoder)
    assert count(published.target, learned=True) == 0


def test_residual_branches_start_at_zero(published: CluBYOL) -> None:
    last_norms = [m for n, m in published.encoder.backbone.named_modules() if n.endswith(".bn2")]
    assert len(last_norms) == 8
    assert all(not norm.weight.any() for norm in last_norms if isinstance(norm, nn.BatchNorm2d))


def test_target_starts_as_the_online_network(published: CluBYOL) -> None:
    for online, target in zip(published.encoder.parameters(), published.target.parameters(), strict=True):
        assert torch.equal(online, target)
        assert online.data_ptr() != target.data_ptr()


def test_features_are_the_pooled_backbone_output(tiny: CluBYOL) -> None:
    assert tiny.encoder.feature_dim == 512
    assert tiny.encoder.backbone(views()[0]).shape == (6, 512)
    assert tiny.encoder(views()[0]).shape == (6, 16)


def test_noise_is_scaled(tiny: CluBYOL) -> None:
    logits = tiny([*views()]).logits
    assert logits is not None
    tiny.gumbel_noise = 0.0
    step = tiny([*views()])
    assert step.logits is not None
    expected = cluster_similarity(step.projection, step.logits, noise=torch.zeros_like(step.logits))
    torch.testing.assert_close(step.terms["cluster_similarity"], expected)


def test_loss_equals_the_published_formula(tiny: CluBYOL) -> None:
    tiny.gumbel_noise = 1.0
    view1, view2 = views()
    other = copy.deepcopy(tiny)
    torch.manual_seed(3)
    step = tiny([view1, view2])

    projector, backbone = other.encoder.projector, other.encoder.backbone
    z1, z2 = projector(backbone(view1)), projector(backbone(view2))
    p1, p2 = other.predictor(z1), other.predictor(z2)
    t1, t2 = (other.target.projector(other.target.backbone(view)) for view in (view1, view2))
    invariance = (1 - mean_cosine(p1, t2)) + (1 - mean_cosine(p2, t1))
    logits = torch.cat([other.cluster_assigner(other.cluster_projector(z)) for z in (z1, z2)])
    torch.manual_seed(3)
    cluster = reference(torch.cat([z1, z2]), logits)

    torch.testing.assert_close(step.logits, logits.detach())
    torch.testing.assert_close(step.projection, torch.cat([z1, z2]).detach())
    torch.testing.assert_close(step.terms["invariance"], invariance.detach())
    torch.testing.assert_close(step.terms["cluster_similarity"], cluster.detach())
    torch.testing.assert_close(step.loss, 0.3 * invariance + 0.7 * cluster)


def test_gradient_reaches_everything_but_the_target(tiny: CluBYOL) -> None:
    tiny(views()).loss.backward()
    assert all(p.grad is None for p in tiny.target.parameters())
    assert without_gradient(tiny) == []


def test_cluster_term_pulls_the_cluster_head_and_the_encoder(tiny: CluBYOL) -> None:
    tiny.alpha = 1.0  # nothing but the cluster term
    tiny(views()).loss.backward()
    convolution = tiny.encoder.backbone.get_parameter("conv1.weight").grad
    assert convolution is not None
    assert convolution.abs().sum() > 0  # through the logits, not through the centroids


@pytest.mark.parametrize(("progress", "momentum"), [(0.0, 0.9), (0.25, None), (0.5, 0.95), (1.0, 1.0)])
def test_target_moves_by_the_momentum_of_the_moment(progress: float, momentum: float | None) -> None:
    method = small(CluBYOL, "clubyol", ema=0.9, ema_end=1.0)
    before = [p.clone() for p in method.target.parameters()]
    with torch.no_grad():
        for parameter in method.encoder.parameters():
            parameter.add_(torch.randn_like(parameter))
    method.after_step(progress)
    # Grill et al., section 3.2: 1 - (1 - base) (cos(pi k / K) + 1) / 2
    m = 1 - 0.1 * (math.cos(math.pi * progress) + 1) / 2 if momentum is None else momentum
    for old, online, target in zip(
        before, method.encoder.parameters(), method.target.parameters(), strict=True
    ):
        torch.testing.assert_close(target, m * old + (1 - m) * online.detach())


def test_published_momentum_is_constant(published: CluBYOL) -> None:
    assert (published.ema, published.ema_end, published.alpha) == (0.99, 0.99, 0.9)
    assert small(CluBYOL, "clubyol").ema_end == 1.0


def test_update_leaves_the_targets_running_statistics_alone(tiny: CluBYOL) -> None:
    tiny.encoder(views()[0])  # only the online statistics move
    before = {n: b.clone() for n, b in tiny.target.named_buffers()}
    tiny.after_step(0.5)
    assert all(torch.equal(before[n], b) for n, b in tiny.target.named_buffers())


def test_targets_running_statistics_follow_its_own_inputs(tiny: CluBYOL) -> None:
    norm = tiny.target.backbone.get_submodule("bn1")
    before = norm.get_buffer("running_mean").clone()
    tiny(views())
    assert not torch.equal(norm.get_buffer("running_mean"), before)
    assert norm.get_buffer("num_batches_tracked") == 2  # one view at a time


def test_loss_is_float32_under_autocast(tiny: CluBYOL) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        step = tiny(views())
    assert step.loss.dtype == step.terms["cluster_similarity"].dtype == torch.float32
