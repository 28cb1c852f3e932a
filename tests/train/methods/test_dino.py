from __future__ import annotations

import copy
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from tests.made_models import TINY_BACKBONE, tiny_config
from tests.train.methods.made import linears, small, views, without_gradient
from tests.train.test_resume import same_run, stopped_at
from wsi_embed.errors import UsageError
from wsi_embed_export import export
from wsi_embed_train import build_method, train
from wsi_embed_train.methods.dino import CENTRE_MOMENTUM, DINO, LARGEST_GRADIENT

Floats = npt.NDArray[np.float64]
VIT = "timm/test_vit"


def crops(seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed + 100)
    return views(seed) + [torch.randn(6, 3, 16, 16, generator=generator) for _ in range(2)]


def softmax(rows: Floats) -> Floats:
    odds = np.exp(rows - rows.max(1, keepdims=True))
    return np.asarray(odds / odds.sum(1, keepdims=True))


def cosines(projection: torch.Tensor, weight: torch.Tensor) -> Floats:
    z, w = (each.detach().double().numpy() for each in (projection, weight))
    units = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (z, w)]
    return np.asarray(units[0] @ units[1].T)


def test_loss_is_the_papers() -> None:
    """Caron et al., 2021, equation 3, for each pair of different views."""
    method = small(DINO, "dino", backbone=TINY_BACKBONE)
    method.centre.copy_(torch.linspace(-0.2, 0.3, 6))
    other = copy.deepcopy(method)
    step = method(crops())
    sizes = [torch.cat(crops()[:2]), torch.cat(crops()[2:])]
    with torch.no_grad():
        seen = [cosines(other.encoder(size), other.prototypes.weight) for size in sizes]
        said = cosines(other.target(sizes[0]), other.target_prototypes.weight)
    student = np.concatenate(seen).reshape(4, 6, 6)
    teacher = said.reshape(2, 6, 6) - other.centre.double().numpy()
    terms = [
        -(softmax(teacher[t] / 0.04) * np.log(softmax(student[s] / 0.1))).sum(1).mean()
        for t in range(2)
        for s in range(4)
        if s != t
    ]
    assert float(step.loss.detach()) == pytest.approx(np.mean(terms), abs=1e-4)
    moved = CENTRE_MOMENTUM * other.centre.double().numpy() + (1 - CENTRE_MOMENTUM) * said.mean(0)
    np.testing.assert_allclose(method.centre.double().numpy(), moved, atol=1e-6)


def test_networks() -> None:
    method = small(DINO, "dino", backbone=TINY_BACKBONE)
    assert linears(method.encoder.projector) == [(96, 32, True), (32, 32, True), (32, 16, True)]
    assert linears(method.prototypes) == [(16, 6, False)]
    assert method(crops()).projection.shape == (24, 16)
    assert method(views()).projection.shape == (12, 16)


def test_gradient_reaches_everything_but_the_teacher() -> None:
    method = small(DINO, "dino", backbone=TINY_BACKBONE)
    method(crops()).loss.backward()
    assert without_gradient(method) == []
    target = [*method.target.parameters(), *method.target_prototypes.parameters()]
    assert all(p.grad is None and not p.requires_grad for p in target)


def test_temperature_of_the_teacher_rises() -> None:
    method = small(DINO, "dino", backbone=TINY_BACKBONE, teacher_temp_warmup=0.5)
    found = []
    for progress in (0.0, 0.25, 0.5, 1.0):
        method.progress.fill_(progress)
        found.append(method._teacher_temperature())
    assert found == pytest.approx([0.04, 0.055, 0.07, 0.07])


def test_last_layer_waits_and_gradients_are_clipped() -> None:
    method = small(DINO, "dino", backbone=TINY_BACKBONE, freeze_prototypes=0.5)
    for progress, frozen in ((0.4, True), (0.6, False)):
        method.zero_grad()
        (1000 * method(crops()).loss).backward()
        method.before_step(progress)
        assert (method.prototypes.weight.grad is None) == frozen
        norms = [float(p.grad.norm()) for p in method.parameters() if p.grad is not None]
        assert max(norms) == pytest.approx(LARGEST_GRADIENT, rel=1e-3)


def test_teacher_follows_and_rests_in_the_end() -> None:
    method = small(DINO, "dino", backbone=TINY_BACKBONE, ema=0.9)
    with torch.no_grad():
        method.prototypes.weight.add_(1)
    before = method.target_prototypes.weight.clone()
    method.after_step(1.0)
    assert torch.equal(method.target_prototypes.weight, before)
    method.after_step(0.0)
    torch.testing.assert_close(method.target_prototypes.weight, before + 0.1)


def test_it_learns_without_collapse() -> None:
    torch.manual_seed(0)
    method = small(DINO, "dino", backbone=VIT, ema=0.9, teacher_temp_warmup=0.0)
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.AdamW(method.parameters(), lr=2e-3)

    def batch() -> list[torch.Tensor]:
        """Views of 24 tiles, each of one colour with noise."""
        colours = torch.randn(24, 3, 1, 1, generator=generator)
        return [colours + 0.3 * torch.randn(24, 3, px, px, generator=generator) for px in (32, 32, 16, 16)]

    losses = []
    for number in range(80):
        optimizer.zero_grad()
        step = method(batch())
        step.loss.backward()
        method.before_step(number / 80)
        optimizer.step()
        method.after_step(number / 80)
        losses.append(float(step.loss.detach()))
    assert np.mean(losses[-10:]) < 0.8 * math.log(6)
    first, other = (cosines(method.encoder(view), method.prototypes.weight).argmax(1) for view in batch()[:2])
    assert (first == other).mean() > 0.8, "both views of a tile have the same output"
    assert np.bincount(first).max() < 0.9 * len(first), "tiles have different ones"


def test_local_crops_of_vision_transformers_leave_the_exported_network_as_it_is() -> None:
    config = tiny_config("dino", backbone="vit_tiny_patch16_224", tile_px=224, local_px=96)
    method = build_method("dino", vars(config))
    plain = method.encoder.plain_backbone()
    assert [net.dynamic_img_size for net in (method.encoder.backbone, plain)] == [True, False]
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(plain.eval()(images), method.encoder.backbone.eval()(images))
    small_views = build_method(
        "dino", vars(tiny_config("dino", backbone="vit_tiny_patch16_224", tile_px=224, local_crops=0))
    )
    assert small_views.encoder.plain_backbone() is small_views.encoder.backbone


def test_sizes_that_do_not_fit_are_refused() -> None:
    for settings in ({"tile_px": 90, "local_px": 96}, {"tile_px": 224, "local_px": 90}):
        config = tiny_config("dino", backbone="vit_tiny_patch16_224", **settings)
        with pytest.raises(UsageError, match=r"vit_tiny_patch16_224 does not take tiles of 9\d pixels"):
            build_method("dino", vars(config))
    with pytest.raises(UsageError, match=r"`local_scale=\(0\.5, 0\.1\)`: the minimum must come first"):
        tiny_config("dino", local_scale=[0.5, 0.1])


def test_stopped_run_goes_on_exactly_and_is_exported(tiles: Path, tmp_path: Path) -> None:
    config = tiny_config("dino", backbone=VIT, batch_size=8, optimizer="sgd", lr=0.05, log_steps=2)
    train(tiles, tmp_path / "whole", config)
    stopped_at(2, tiles, tmp_path / "cut", config)
    train(tiles, tmp_path / "cut", config, resume=True)
    same_run(tmp_path / "cut", tmp_path / "whole")
    assert export(tmp_path / "whole", tmp_path / "m.ts").feature_dim == 64
