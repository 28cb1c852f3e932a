from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from tests.made_models import tiny_config
from wsi_embed_train.config import TrainConfig
from wsi_embed_train.methods import build_method
from wsi_embed_train.methods.clubyol import CluBYOL
from wsi_embed_train.module import make_optimizer, set_learning_rates


def optimizer_of(config: TrainConfig) -> torch.optim.Optimizer:
    return make_optimizer(build_method(config.method, vars(config)), config)


@pytest.mark.parametrize(("lr", "batch_size"), [(0.05, 512), (0.05, 64), (0.2, 256)])
def test_learning_rate_scales_with_the_batch_and_falls_as_a_cosine(lr: float, batch_size: int) -> None:
    config = tiny_config(lr=lr, batch_size=batch_size, epochs=10)
    optimizer = optimizer_of(config)
    for epoch in range(10):
        set_learning_rates(optimizer, config, epoch)
        expected = lr * batch_size / 256 * (1 + math.cos(math.pi * epoch / 10)) / 2
        assert optimizer.param_groups[0]["lr"] == pytest.approx(expected)


def test_optimizer_is_the_published_one_and_skips_the_target() -> None:
    config = tiny_config("clubyol-paper")
    network = build_method(config.method, vars(config))
    optimizer: Any = make_optimizer(network, config)
    (group,) = optimizer.param_groups
    assert isinstance(optimizer, torch.optim.SGD)
    assert isinstance(network, CluBYOL)
    assert (group["momentum"], group["weight_decay"], group["nesterov"]) == (0.9, 1e-4, False)
    trained = {p.data_ptr() for p in group["params"]}
    assert not trained & {p.data_ptr() for p in network.target.parameters()}
    assert network.cluster_assigner.weight.data_ptr() in trained


def test_groups_of_the_optimizer_keep_to_their_rates() -> None:
    config = tiny_config(
        "clusiam", epochs=10, warmup_epochs=2, predictor_lr=10.0, exclude_norm_bias=True, lr=0.1
    )
    optimizer = optimizer_of(config)
    base = 0.1 * 8 / 256
    for epoch in range(10):
        set_learning_rates(optimizer, config, epoch)
        for group in optimizer.param_groups:
            moving = (epoch + 1) / 3 if epoch < 2 else (1 + math.cos(math.pi * (epoch - 2) / 8)) / 2
            assert group["lr"] == pytest.approx(10 * base if group["fixed_lr"] else base * moving)
    assert {g["weight_decay"] for g in optimizer.param_groups} == {0.0, 1e-4}
    assert {g["fixed_lr"] for g in optimizer.param_groups} == {False, True}
