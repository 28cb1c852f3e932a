from __future__ import annotations

import builtins
from typing import Any

import pytest
import torch
from torch import nn
from torchvision import models

from wsi_embed.errors import MissingExtraError, UsageError
from wsi_embed_train.backbones import check_tile_px, make_backbone, several_sizes, sized

# One of each of torchvision's families, for the heads they have.
FAMILIES = {
    "alexnet": 256, "convnext_tiny": 768, "densenet121": 1024, "efficientnet_b0": 1280, "googlenet": 1024,
    "inception_v3": 2048, "maxvit_t": 512, "mnasnet0_5": 1280, "mobilenet_v2": 1280,
    "mobilenet_v3_small": 576,
    "resnet50": 2048, "resnext50_32x4d": 2048, "shufflenet_v2_x0_5": 1024, "squeezenet1_1": 512,
    "swin_t": 768, "vgg11_bn": 512, "vit_b_32": 768, "wide_resnet50_2": 2048,
}  # fmt: skip


@pytest.mark.parametrize(("name", "width"), FAMILIES.items())
def test_every_family_gives_pooled_features(name: str, width: int) -> None:
    with torch.device("meta"):  # shapes, without the work
        net, dim = make_backbone(name)
        out = net.train()(torch.empty(2, 3, 224, 224))
    assert (out.shape, dim) == ((2, width), width)


def test_regnet_too() -> None:  # its constructor does not know "meta"
    net, dim = make_backbone("regnet_x_400mf")
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, dim)


def test_features_are_those_before_the_classifier() -> None:
    torch.manual_seed(0)
    net, _ = make_backbone("resnet18")
    torch.manual_seed(0)
    whole = models.resnet18(zero_init_residual=True)
    seen: list[torch.Tensor] = []
    whole.fc.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    images = torch.randn(2, 3, 64, 64)
    whole.eval()(images)
    torch.testing.assert_close(net.eval()(images), seen[0])


def test_resnets_start_with_residual_branches_of_zero() -> None:
    for name, last in (("resnet18", "layer1.0.bn2"), ("resnet50", "layer1.0.bn3")):
        assert not make_backbone(name)[0].get_parameter(f"{last}.weight").any()


def test_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"has a backbone 'resnet19'; near: .*\bresnet18\b"):
        make_backbone("resnet19")
    with pytest.raises(UsageError, match=r"has a backbone 'wholly-unlike'$"):
        make_backbone("wholly-unlike")
    with pytest.raises(UsageError, match="a backbone ''"):
        make_backbone("")


def test_timm_too() -> None:
    pytest.importorskip("timm")
    net, dim = make_backbone("resnet10t")  # not one of torchvision's
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, dim) == (2, 512)
    with torch.device("meta"):
        for name in ("timm/resnet18", "vit_tiny_patch16_224", "mobilenetv3_small_050"):
            net, dim = make_backbone(name)
            assert net(torch.empty(2, 3, 224, 224)).shape == (2, dim)
    with pytest.raises(UsageError, match="vit_tiny_patch16_224"):
        make_backbone("vit_tiny_patch16_225")


def test_transformers_are_made_for_the_size_of_the_tiles() -> None:
    pytest.importorskip("timm")
    assert sized("vit_tiny_patch16_224", 64) == "vit_tiny_patch16_224@64"
    assert sized("timm/vit_tiny_patch16_224", 224) == "timm/vit_tiny_patch16_224"
    assert sized("vit_tiny_patch16_224", 100) == "vit_tiny_patch16_224"  # 6 patches would leave 4 pixels out
    for name in ("resnet18", "vit_b_16", "timm/resnet10t", "no such network", "test_vit@96", "test_vit"):
        assert sized(name, 64) == name
    net, dim = make_backbone("test_vit@64")
    assert net(torch.zeros(2, 3, 64, 64)).shape == (2, dim)
    with pytest.raises(UsageError, match="neither"):
        make_backbone("test_vit@x")
    with pytest.raises(UsageError, match="does not take img_size"):
        make_backbone("timm/resnet10t@64")


def test_names_that_would_reach_a_hub_are_unknown() -> None:
    with pytest.raises(UsageError, match=r"has (no|a) backbone"):
        make_backbone("hf-hub:someone/something")


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name == "timm":
            raise ModuleNotFoundError("No module named 'timm'", name="timm")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match=r"\[timm\]"):
        make_backbone("resnet10t")
    assert isinstance(make_backbone("resnet18")[0], nn.Module)


def test_vision_transformers_take_images_of_several_sizes() -> None:
    pytest.importorskip("timm")
    assert several_sizes("resnet18", 33) == {}
    assert several_sizes("vit_tiny_patch16_224", 224) == {}
    settings = several_sizes("vit_tiny_patch16_224", 96)
    with torch.device("meta"):
        net, dim = make_backbone("vit_tiny_patch16_224", **settings)
        for px in (224, 96):
            assert net(torch.empty(2, 3, px, px)).shape == (2, dim)


@pytest.mark.parametrize(
    ("name", "px"), [("vit_tiny_patch16_224", 90), ("vit_b_32", 96), ("timm/test_vit_relpos", 48)]
)
def test_networks_that_take_one_size_are_refused(name: str, px: int) -> None:
    pytest.importorskip("timm")
    with pytest.raises(
        UsageError, match=rf"{name} does not take tiles of {px} pixels .*; choose a `local_px=`"
    ):
        several_sizes(name, px)


def test_size_of_tiles() -> None:
    for name in ("resnet18", "swin_t"):
        check_tile_px(make_backbone(name)[0], name, 96)
    net = make_backbone("vit_b_32")[0]
    check_tile_px(net, "vit_b_32", 224)
    with pytest.raises(UsageError, match="vit_b_32 does not take tiles of 256 pixels"):
        check_tile_px(net, "vit_b_32", 256)
