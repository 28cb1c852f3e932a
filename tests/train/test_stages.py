from __future__ import annotations

import pytest
import torch
from torch import nn

from wsi_embed.errors import UsageError
from wsi_embed_train.backbones import make_backbone
from wsi_embed_train.stages import (
    evaluate_frozen,
    freeze_parameters,
    frozen_names,
    learning_rate_factors,
    stage_of_parameters,
    stages_of,
)

# Backbone, stages, and a parameter before the first and after the last stage.
FAMILIES = {
    "resnet18": (["layer1", "layer2", "layer3", "layer4"], "conv1.weight", None),
    "vit_b_32": (
        [f"encoder.layers.encoder_layer_{n}" for n in range(12)],
        "class_token",
        "encoder.ln.weight",
    ),
    "inception_v3": (None, None, None),
    "googlenet": (None, None, None),
    "timm/vgg11": ([f"features.{n}" for n in (0, 3, 6, 8, 11, 13, 16, 18)], None, None),
    "timm/hrnet_w18_small": (["stage2", "stage3", "stage4"], "conv1.weight", None),
    "timm/test_efficientnet": ([f"blocks.{n}" for n in range(5)], "conv_stem.weight", "conv_head.weight"),
    "timm/test_vit": ([f"blocks.{n}" for n in range(6)], "cls_token", "norm.weight"),
    "timm/test_resnet": (["layer1", "layer2", "layer3", "layer4"], "conv1.0.weight", None),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_stages_of_each_family(name: str) -> None:
    stages, first, last = FAMILIES[name]
    with torch.device("meta"):
        backbone, _ = make_backbone(name)
    found, stage = stages_of(backbone), stage_of_parameters(backbone)
    assert stages is None or found == stages
    assert len(found) >= 3
    order = [stage[parameter] for parameter in stage]
    assert name == "timm/hrnet_w18_small" or order == sorted(order), "stages follow each other"
    assert set(range(1, len(found) + 1)) <= set(order)
    if first:
        assert stage[first] == 0
    if last:
        assert stage[last] == len(found) + 1


def resnet() -> nn.Module:
    return make_backbone("timm/test_resnet")[0]


def test_number_of_stages_to_freeze() -> None:
    net = resnet()
    stem = frozen_names(net, "0")
    assert stem == {name for name in net.state_dict() if name.startswith(("conv1", "bn1"))}
    assert frozen_names(net, "2") == stem | {
        name for name in net.state_dict() if name.startswith(("layer1", "layer2"))
    }
    assert frozen_names(net, "4") == frozen_names(net, "all") == set(net.state_dict())
    assert frozen_names(net, "") == set()


def test_names_of_modules_to_freeze() -> None:
    net = resnet()
    frozen = frozen_names(net, "bn1, layer3.0")
    assert frozen == {name for name in net.state_dict() if name.startswith(("bn1.", "layer3.0."))}


@pytest.mark.parametrize(
    ("freeze", "message"),
    [
        ("5", "the backbone has 4 stages: layer1, layer2, layer3, layer4"),
        ("layer", "the backbone has no module 'layer'; its modules are conv1, bn1, layer1"),
        ("layer1,head", "the backbone has no module 'head'"),
    ],
)
def test_freezing_what_is_not_there_is_refused(freeze: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        frozen_names(resnet(), freeze)


def test_frozen_modules_neither_learn_nor_update_their_statistics() -> None:
    net = resnet()
    frozen = frozen_names(net, "2")
    freeze_parameters(net, frozen)
    net.train()
    evaluate_frozen(net, frozen)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    features = net(torch.rand(4, 3, 32, 32))
    features.square().sum().backward()
    torch.optim.SGD(net.parameters(), lr=1.0, weight_decay=0.1).step()
    changed = {name for name, tensor in net.state_dict().items() if not torch.equal(tensor, before[name])}
    assert not changed & frozen
    statistics = {name for name in net.state_dict() if name.endswith("running_mean")} - frozen
    assert statistics <= changed
    assert {"layer3.0.conv1.weight", "layer4.0.conv1.weight"} <= changed


def test_a_module_that_is_frozen_in_part_stays_in_training_mode() -> None:
    net = resnet().train()
    evaluate_frozen(net, frozen_names(net, "layer2"))
    parts = dict(net.named_modules())
    assert net.training
    assert parts["layer1"].training
    assert not parts["layer2"].training
    assert not parts["layer2.0.bn1"].training


def test_learning_rate_falls_by_stage() -> None:
    net = make_backbone("timm/test_vit")[0]
    factors = learning_rate_factors(net, 0.5)
    assert factors.keys() == dict(net.named_parameters()).keys()
    assert factors["norm.weight"] == 1
    assert factors["blocks.5.mlp.fc1.weight"] == 0.5
    assert factors["blocks.0.mlp.fc1.weight"] == 0.5**6
    assert factors["patch_embed.proj.weight"] == factors["cls_token"] == 0.5**7
