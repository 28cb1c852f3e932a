"""Weights in the key layouts of other libraries, each from a network written out in `published.py`."""

from __future__ import annotations

import argparse
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from tests.export.published import (
    Dinov2,
    OpenClipViT,
    TransformersClipViT,
    TransformersViT,
    randomised,
)
from wsi_embed.errors import UsageError
from wsi_embed_export import Given, read_source
from wsi_embed_train.weights.key_layouts import translated

pytest.importorskip("timm")

SIZE = (28, 14, 48, 3, 3)
TIMM = {"img_size": 28, "patch_size": 14, "embed_dim": 48, "depth": 3, "num_heads": 3}
SWIGLU = {"mlp_ratio": 256 / 48, "mlp_layer": "SwiGLUPacked", "act_layer": "SiLU"}
GIVEN = Given((0.5,) * 3, (0.5,) * 3, tile_px=28)
IMAGES = torch.randn(3, 3, 28, 28, generator=torch.Generator().manual_seed(5))

PLAIN, REG, CLIP = "vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2", "vit_base_patch16_clip_224"
CASES: dict[str, tuple[nn.Module, str, dict[str, Any]]] = {
    "transformers ViT": (TransformersViT(*SIZE), "vit_small_patch16_224", {}),
    "transformers DINOv2": (TransformersViT(*SIZE, dinov2=True), PLAIN, {}),
    "transformers DINOv2, SwiGLU": (TransformersViT(*SIZE, dinov2=True, swiglu=True), PLAIN, SWIGLU),
    "transformers DINOv2, registers": (TransformersViT(*SIZE, dinov2=True, registers=4), REG, {}),
    "transformers DINOv2, registers and SwiGLU": (
        TransformersViT(*SIZE, dinov2=True, registers=4, swiglu=True), REG, SWIGLU,
    ),
    "DINOv2": (Dinov2(*SIZE), PLAIN, {}),
    "DINOv2, chunks": (Dinov2(*SIZE, chunks=3), PLAIN, {}),
    "DINOv2, registers": (Dinov2(*SIZE, registers=4), REG, {}),
    "DINOv2, registers, SwiGLU and chunks": (Dinov2(*SIZE, registers=4, swiglu=True, chunks=1), REG, SWIGLU),
    "open_clip": (OpenClipViT(*SIZE), CLIP, {}),
    "transformers CLIP": (TransformersClipViT(*SIZE), "vit_base_patch16_clip_quickgelu_224", {}),
}  # fmt: skip
# Before the names of a network: prefixes behind each other, in the orders of known training codes.
PREFIXES = (
    "", "module.backbone.", "student.backbone.", "teacher.", "_orig_mod.", "module._orig_mod.",
    "module.encoder_q.", "module.base_encoder.", "visual.trunk.", "vit.", "model.backbone.model.",
)  # fmt: skip


def features(path: Path, architecture: str, settings: dict[str, Any], images: Tensor = IMAGES) -> Tensor:
    trained = read_source(architecture, GIVEN, weights=path, settings=settings)
    with torch.inference_mode():
        found: Tensor = trained.backbone.eval()(images)
    return found


def reference(network: nn.Module) -> Tensor:
    with torch.inference_mode():
        found: Tensor = randomised(network)(IMAGES)
    return found[:, 0] if found.ndim == 3 else found


@pytest.mark.parametrize("name", CASES)
def test_a_network_saved_in_another_layout(tmp_path: Path, name: str) -> None:
    network, architecture, settings = CASES[name]
    expected = reference(network)
    torch.save({"model": network.state_dict()}, tmp_path / "w.pth")
    found = features(tmp_path / "w.pth", f"timm:{architecture}", TIMM | settings)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("name", ["transformers DINOv2, registers", "DINOv2, chunks", "open_clip"])
def test_each_layout_behind_each_prefix(tmp_path: Path, name: str, prefix: str) -> None:
    network, architecture, settings = CASES[name]
    expected = reference(network)
    state = {prefix + key: value for key, value in network.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "w.pth")
    found = features(tmp_path / "w.pth", f"timm:{architecture}", TIMM | settings)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=2e-5)


def resnet() -> tuple[dict[str, Tensor], Tensor]:
    network = randomised(models.resnet18(weights=None))
    state = {key: value for key, value in network.state_dict().items() if not key.startswith("fc.")}
    network.fc = nn.Identity()
    with torch.inference_mode():
        return state, network(IMAGES)


def behind(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in state.items()}


def sequential(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names of `nn.Sequential(*list(resnet.children())[:-1])`."""
    order = ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"]
    return {f"{order.index(key.split('.')[0])}.{key.partition('.')[2]}": v for key, v in state.items()}


def other(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of the same shapes that are not to be taken."""
    return {key: value + 1 for key, value in state.items()}


STATE, EXPECTED = resnet()
ONE = {"0.weight": torch.randn(4, 4)}


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": behind("backbone.", sequential(STATE)) | behind("projection_head.layers.", ONE)},
        sequential(STATE),
        {"state_dict": behind("module.encoder.", STATE) | behind("module.encoder.fc.", ONE)},
        {"state_dict": behind("module.encoder_k.", other(STATE)) | behind("module.encoder_q.", STATE)},
        {
            "state_dict": behind("module.base_encoder.", STATE)
            | behind("module.momentum_encoder.", other(STATE))
        },
        {"state_dict": behind("momentum_backbone.", other(STATE)) | behind("backbone.", STATE)},
        {"student": behind("backbone.", other(STATE)), "teacher": behind("backbone.", STATE)},
        {"model": behind("student.backbone.", other(STATE)) | behind("teacher.backbone.", STATE)},
        {"state_dict": other(STATE), "state_dict_ema": STATE},
        {"model": other(STATE), "model_ema": STATE},
        {"classy_state_dict": {"base_model": {"model": {"trunk": behind("_feature_blocks.", STATE)}}}},
        {"state_dict": STATE, "args": argparse.Namespace(arch="resnet18", lr=0.1), "epoch": 7},
        {**STATE, "mask_token": ONE["0.weight"], "queue": ONE["0.weight"], "fc.weight": ONE["0.weight"]},
        OrderedDict(behind("encoder.", STATE) | behind("decoder.", ONE) | {"logit_scale": torch.ones(())}),
    ],
    ids=lambda content: " ".join(list(content)[:2]),
)  # fmt: skip
def test_files_of_training_codes(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "w.pth")
    found = features(tmp_path / "w.pth", "torchvision:resnet18", {})
    torch.testing.assert_close(found, EXPECTED, atol=1e-4, rtol=1e-4)


def test_a_surplus_weight_that_may_matter_is_refused(tmp_path: Path) -> None:
    torch.save({**STATE, "layer5.weight": torch.ones(3)}, tmp_path / "w.pth")
    with pytest.raises(UsageError, match=r"has layer5\.weight too many"):
        features(tmp_path / "w.pth", "torchvision:resnet18", {})


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    torch.save({**STATE, "bn1.bias": torch.full((64,), float("nan"))}, tmp_path / "w.pth")
    with pytest.raises(UsageError, match=r"w\.pth: weights that are not finite: bn1\.bias"):
        features(tmp_path / "w.pth", "torchvision:resnet18", {})


def test_other_objects_are_still_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": STATE, "path": tmp_path}, tmp_path / "w.pth")
    with pytest.raises(UsageError, match="loading more would run code from the file"):
        features(tmp_path / "w.pth", "torchvision:resnet18", {})


def test_names_without_a_layout_stay() -> None:
    state = {"blocks.0.attn.qkv.weight": torch.ones(3), "a.attn.query.weight": torch.ones(2)}
    assert translated(state) == state


def test_query_key_and_value_are_joined_in_this_order() -> None:
    name = "vit.encoder.layer.7.attention.attention.{}.bias"
    state = {
        name.format(part): torch.full((2,), float(i)) for i, part in enumerate(("query", "value", "key"))
    }
    state["vit.encoder.layer.7.attention.attention.query.weight"] = torch.zeros(2, 2)
    found = translated(state)
    assert found["vit.blocks.7.attn.qkv.bias"].tolist() == [0, 0, 2, 2, 1, 1]
