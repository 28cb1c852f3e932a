"""Pooling of tokens, against sums over the tokens of timm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from tests.export.published import randomised
from wsi_embed.encoder import load_encoder
from wsi_embed.errors import UsageError
from wsi_embed_export import Given, export, read_source
from wsi_embed_export.real_tiles import packaged_tiles

timm = pytest.importorskip("timm")

SIZES = {"img_size": 32, "patch_size": 16, "embed_dim": 48, "depth": 2, "num_heads": 3}
COLOURS = ((0.5,) * 3, (0.5,) * 3)
IMAGES = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def features(folder: Path, name: str, network: nn.Module, pooling: str | None, **settings: Any) -> Tensor:
    torch.save(network.state_dict(), folder / "w.pth")
    given = Given(*COLOURS, pooling=pooling)
    trained = read_source(f"timm:{name}", given, weights=folder / "w.pth", settings=settings)
    with torch.inference_mode():
        found: Tensor = trained.backbone.eval()(IMAGES)
    assert trained.feature_dim == found.shape[1]
    return found


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("vit_tiny_patch16_224", SIZES),
        ("vit_tiny_patch16_224", {**SIZES, "reg_tokens": 4}),
        ("vit_base_patch14_reg4_dinov2", SIZES),
        ("deit3_small_patch16_224", SIZES),
        ("eva02_tiny_patch14_224", {**SIZES, "num_heads": 3}),
        ("beit_base_patch16_224", SIZES),
    ],
)
def test_class_token_and_mean_of_patch_tokens(tmp_path: Path, name: str, settings: dict[str, Any]) -> None:
    network = randomised(timm.create_model(name, num_classes=0, global_pool="", **settings))
    with torch.inference_mode():
        tokens = network(IMAGES)
    patches = sum(tokens[:, -i] for i in range(1, 5)) / 4  # a grid of 2 x 2, after all other tokens
    expected = {"token": tokens[:, 0], "mean": patches, "token+mean": torch.cat([tokens[:, 0], patches], 1)}
    for pooling, wanted in expected.items():
        torch.testing.assert_close(features(tmp_path, name, network, pooling, **settings), wanted)


def test_means_that_are_normalised_after_pooling(tmp_path: Path) -> None:
    """Weights of networks trained on means, such as MAE's, have `fc_norm` in place of `norm`."""
    network = randomised(timm.create_model("vit_tiny_patch16_224", num_classes=0, global_pool="avg", **SIZES))
    with torch.inference_mode():
        expected = network(IMAGES)
    found = features(tmp_path, "vit_tiny_patch16_224", network, "mean", **SIZES)
    torch.testing.assert_close(found, expected)
    with pytest.raises(UsageError, match="its features are means of patch tokens: `pooling='mean'`"):
        features(tmp_path, "vit_tiny_patch16_224", network, None, **SIZES)


def test_attention_pooling(tmp_path: Path) -> None:
    name = "vit_base_patch16_siglip_224"
    network = randomised(timm.create_model(name, num_classes=0, **SIZES))
    with torch.inference_mode():
        expected = network(IMAGES)
    for pooling in (None, "map"):
        torch.testing.assert_close(features(tmp_path, name, network, pooling, **SIZES), expected)
    with pytest.raises(UsageError, match="has no class token"):
        features(tmp_path, name, network, "token+mean", **SIZES)


@pytest.mark.parametrize(
    ("name", "pooling", "message"),
    [
        ("resnet18", "map", "`pooling='map'`: timm/resnet18 does not offer this .*Invalid pool type"),
        ("resnet18", "token+mean", "`pooling='token.mean'`: timm:resnet18 does not offer its tokens"),
        ("vit_tiny_patch16_224", "max", "`pooling='max'`: choose token, mean, token\\+mean, map"),
    ],
)
def test_poolings_that_cannot_be(tmp_path: Path, name: str, pooling: str, message: str) -> None:
    settings = SIZES if name.startswith("vit") else {}
    network = timm.create_model(name, num_classes=0, **settings)
    with pytest.raises(UsageError, match=message):
        features(tmp_path, name, network, pooling, **settings)


def test_all_tokens_are_no_features(tmp_path: Path) -> None:
    network = timm.create_model("vit_tiny_patch16_224", num_classes=0, **SIZES)
    with pytest.raises(
        UsageError, match=r"does not return one vector .* \[2, 5, 48\]; give `pooling='token'`"
    ):
        features(tmp_path, "vit_tiny_patch16_224", network, None, **SIZES, global_pool="")


@pytest.mark.parametrize("suffix", [".onnx", ".ts"])
def test_patch_tokens_as_an_output(tmp_path: Path, suffix: str) -> None:
    name, settings = "vit_tiny_patch16_224", {**SIZES, "reg_tokens": 4}
    network = randomised(timm.create_model(name, num_classes=0, global_pool="", **settings))
    torch.save(network.state_dict(), tmp_path / "w.pth")
    path = tmp_path / f"m{suffix}"
    given = Given((0.0,) * 3, (1.0,) * 3, tile_px=32, mpp=0.5, pooling="token+mean")
    about = export(
        f"timm:{name}", path, weights=tmp_path / "w.pth", settings=settings, given=given, outputs=["tokens"]
    )
    assert (about.outputs, about.feature_dim) == (("features", "tokens"), 96)
    tiles = packaged_tiles(np.random.default_rng(1), 3, 32)
    with torch.inference_mode():
        tokens = network(torch.from_numpy(tiles).permute(0, 3, 1, 2) / 255)
    if suffix == ".onnx":
        session = onnxruntime.InferenceSession(str(path))
        features, dense = session.run(["features", "tokens"], {"tiles": tiles})
    else:
        module = torch.jit.load(str(path))  # type: ignore[no-untyped-call]
        features, dense = module(torch.from_numpy(tiles))
    torch.testing.assert_close(torch.as_tensor(dense), tokens[:, 5:], atol=1e-4, rtol=1e-4)
    expected = torch.cat([tokens[:, 0], tokens[:, 5:].mean(1)], 1)
    torch.testing.assert_close(torch.as_tensor(features), expected, atol=1e-4, rtol=1e-4)
    found = load_encoder(path, device="cpu").encode(tiles).features
    torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-4, rtol=1e-4)


def test_tokens_need_a_pooling(tmp_path: Path) -> None:
    network = timm.create_model("vit_tiny_patch16_224", num_classes=0, **SIZES)
    torch.save(network.state_dict(), tmp_path / "w.pth")
    with pytest.raises(UsageError, match=r"`outputs='tokens'`: this model has no tokens: .* `pooling=`"):
        export(
            "timm:vit_tiny_patch16_224", tmp_path / "m.ts", weights=tmp_path / "w.pth", settings=SIZES,
            given=Given(*COLOURS, tile_px=32), outputs=["tokens"],
        )  # fmt: skip


def test_pooling_is_for_named_architectures_only(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`pooling='mean'` is for presets, timm:NAME and torchvision:NAME"):
        export(run, tmp_path / "m.ts", given=Given(pooling="mean"))
