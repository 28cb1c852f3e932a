from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from wsi_embed.errors import UsageError
from wsi_embed_train import cluster_similarity
from wsi_embed_train.methods import CluBYOL


@pytest.fixture(scope="module")
def published() -> CluBYOL:
    return CluBYOL()


@pytest.fixture
def small() -> CluBYOL:
    torch.manual_seed(0)
    return CluBYOL(feat_size=16, predictor_hidden=32, clusters=5, alpha=0.7, ema=0.9)


def views(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(6, 3, 32, 32, generator=generator), torch.randn(6, 3, 32, 32, generator=generator)


def linears(module: nn.Module) -> list[tuple[int, int, bool]]:
    """Inputs, outputs, and whether there is a bias, of the linear layers in order."""
    return [
        (m.in_features, m.out_features, m.bias is not None)
        for m in module.modules()
        if isinstance(m, nn.Linear)
    ]


def norms(module: nn.Module) -> list[tuple[int, bool]]:
    return [(m.num_features, m.affine) for m in module.modules() if isinstance(m, nn.BatchNorm1d)]


def count(module: nn.Module, *, learned: bool = False) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not learned)


def test_projector_is_the_published_one(published: CluBYOL) -> None:
    projector = published.encoder.projector
    assert linears(projector) == [(512, 512, False), (512, 512, False), (512, 256, True)]
    assert norms(projector) == [(512, True), (512, True), (256, False)]


def test_last_bias_of_the_projector_is_not_learned(published: CluBYOL) -> None:
    last = [m for m in published.encoder.projector if isinstance(m, nn.Linear)][-1]
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
    last_norms = [
        block.bn2 for layer in range(1, 5) for block in getattr(published.encoder.backbone, f"layer{layer}")
    ]
    assert len(last_norms) == 8
    assert all(torch.equal(norm.weight, torch.zeros_like(norm.weight)) for norm in last_norms)


def test_target_starts_as_the_online_network(published: CluBYOL) -> None:
    for online, target in zip(published.encoder.parameters(), published.target.parameters(), strict=True):
        assert torch.equal(online, target)
        assert online.data_ptr() != target.data_ptr()


def test_features_are_the_pooled_backbone_output(small: CluBYOL) -> None:
    assert small.encoder.feature_dim == 512
    assert small.encoder.backbone(views()[0]).shape == (6, 512)
    assert small.encoder(views()[0]).shape == (6, 16)


def test_loss_equals_the_published_formula(small: CluBYOL) -> None:
    view1, view2 = views()
    other = copy.deepcopy(small)
    torch.manual_seed(3)
    losses, logits = small(view1, view2)

    projector, backbone = other.encoder.projector, other.encoder.backbone
    z1, z2 = projector(backbone(view1)), projector(backbone(view2))
    p1, p2 = other.predictor(z1), other.predictor(z2)
    t1 = other.target.projector(other.target.backbone(view1))
    t2 = other.target.projector(other.target.backbone(view2))
    invariance = 2 - mean_cosine(p1, t2) - mean_cosine(p2, t1)
    expected_logits = torch.cat([other.cluster_assigner(other.cluster_projector(z)) for z in (z1, z2)])
    torch.manual_seed(3)
    cluster = cluster_similarity(torch.cat([z1, z2]), expected_logits)

    torch.testing.assert_close(logits, expected_logits)
    torch.testing.assert_close(losses.invariance, invariance.detach())
    torch.testing.assert_close(losses.cluster, cluster.detach())
    torch.testing.assert_close(losses.total, 0.3 * invariance + 0.7 * cluster)


def mean_cosine(a: Tensor, b: Tensor) -> Tensor:
    return torch.stack([x @ y / (x.norm() * y.norm()) for x, y in zip(a, b, strict=True)]).mean()


def test_gradient_reaches_everything_but_the_target(small: CluBYOL) -> None:
    losses, _ = small(*views())
    losses.total.backward()
    assert all(p.grad is None for p in small.target.parameters())
    without = [n for n, p in small.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


def test_cluster_term_pulls_the_cluster_head_and_the_encoder(small: CluBYOL) -> None:
    small.alpha = 1.0  # nothing but the cluster term
    losses, _ = small(*views())
    losses.total.backward()
    convolution = small.encoder.backbone.conv1.weight.grad
    assert convolution is not None
    assert convolution.abs().sum() > 0  # through the logits, not through the centroids


def test_update_moves_parameters_by_the_momentum(small: CluBYOL) -> None:
    before = [p.clone() for p in small.target.parameters()]
    with torch.no_grad():
        for parameter in small.encoder.parameters():
            parameter.add_(torch.randn_like(parameter))
    small.update_target()
    for old, online, target in zip(
        before, small.encoder.parameters(), small.target.parameters(), strict=True
    ):
        torch.testing.assert_close(target, 0.9 * old + 0.1 * online.detach())


def test_update_leaves_the_targets_running_statistics_alone(small: CluBYOL) -> None:
    small.encoder(views()[0])  # only the online statistics move
    before = {n: b.clone() for n, b in small.target.named_buffers()}
    small.update_target()
    assert all(torch.equal(before[n], b) for n, b in small.target.named_buffers())


def test_targets_running_statistics_follow_its_own_inputs(small: CluBYOL) -> None:
    before = small.target.backbone.bn1.running_mean.clone()
    small(*views())
    assert not torch.equal(small.target.backbone.bn1.running_mean, before)
    assert int(small.target.backbone.bn1.num_batches_tracked) == 2  # one view at a time


def test_published_momentum_is_constant(published: CluBYOL) -> None:
    assert published.ema == 0.99
    assert published.alpha == 0.9


@pytest.mark.parametrize("name", ["vit_b_16", "resnet19", "resnext50_32x4d", ""])
def test_unknown_backbone_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="torchvision's ResNets"):
        CluBYOL(name)


def test_other_resnets_work() -> None:
    assert CluBYOL("resnet50", 16, 32, 5).encoder.feature_dim == 2048
