"""Weights of timm with their `config.json`, as timm's `save_for_hf` writes both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.export.published import randomised
from wsi_embed.errors import UsageError
from wsi_embed_export import Given, read_source
from wsi_embed_export.sources.hub_config import read_hub_config

timm = pytest.importorskip("timm")

SIZES: dict[str, Any] = {"img_size": 32, "patch_size": 16, "embed_dim": 48, "depth": 2, "num_heads": 3}
MEAN, STD = (0.7, 0.5, 0.6), (0.2, 0.25, 0.3)


def config(**changes: Any) -> dict[str, Any]:
    details = {
        "tag": "pathology", "input_size": [3, 32, 32], "mean": MEAN, "std": STD, "interpolation": "bilinear",
        "crop_pct": 1.0, "license": "cc-by-nc-4.0", "num_classes": 0,
    }  # fmt: skip
    return {
        "architecture": "vit_large_patch16_224", "num_classes": 0, "num_features": 48, "global_pool": "token",
        "model_args": SIZES, "pretrained_cfg": details, **changes,
    }  # fmt: skip


def downloaded(folder: Path, values: Any = None, **settings: Any) -> nn.Module:
    """A folder as of a model hub, and its network."""
    settings = {"global_pool": "token", **SIZES, **settings}
    network = randomised(timm.create_model("vit_large_patch16_224", num_classes=0, **settings))
    save_file(network.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config() if values is None else values))
    return network


@pytest.mark.parametrize("source", ["folder", "file", "name"])
def test_everything_is_read(tmp_path: Path, source: str) -> None:
    network = downloaded(tmp_path)
    file = tmp_path / "model.safetensors"
    if source == "name":
        trained = read_source("timm:vit_large_patch16_224", weights=file)
    else:
        trained = read_source(tmp_path if source == "folder" else file)
    assert (trained.architecture, trained.tile_px) == ("timm/vit_large_patch16_224", 32)
    assert (trained.mean, trained.std, trained.licence) == (MEAN, STD, "cc-by-nc-4.0")
    assert trained.training["notes"] == ["mean 0.7,0.5,0.6 and std 0.2,0.25,0.3 are those of config.json"]
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(trained.backbone.eval()(images), network(images))


def test_files_before_pretrained_cfg(tmp_path: Path) -> None:
    """timm 0.8 wrote all of it into one dictionary, with a tag behind the architecture."""
    values = config(architecture="vit_large_patch16_224.a")
    downloaded(tmp_path, {**values, **values.pop("pretrained_cfg")})
    trained = read_source(tmp_path)
    assert (trained.mean, trained.std, trained.tile_px) == (MEAN, STD, 32)


def test_values_of_the_user_come_first(tmp_path: Path) -> None:
    downloaded(tmp_path)
    trained = read_source(tmp_path, Given((0.1,) * 3, (0.9,) * 3, tile_px=48, resize=32))
    assert (trained.mean, trained.std, trained.tile_px) == ((0.1,) * 3, (0.9,) * 3, 48)
    assert trained.training["transform"] == "resize 32 bilinear"
    assert "notes" not in trained.training


def test_another_interpolation_is_not_replaced_in_silence(tmp_path: Path) -> None:
    values = config()
    values["pretrained_cfg"]["interpolation"] = "random"
    downloaded(tmp_path, values)
    assert "transform" not in read_source(tmp_path).training  # nothing is resized
    with pytest.raises(
        UsageError, match=r"the interpolation 'random' of .* is not offered; give `interpolation="
    ):
        read_source(tmp_path, Given(tile_px=48, resize=32))
    trained = read_source(tmp_path, Given(tile_px=48, resize=32, interpolation="bilinear"))
    assert trained.training["transform"] == "resize 32 bilinear"


def test_all_tokens_need_a_pooling(tmp_path: Path) -> None:
    """Virchow and H0-mini are published so."""
    network = downloaded(tmp_path, config(global_pool=""), reg_tokens=4, global_pool="")
    settings = {"reg_tokens": 4}
    weights = tmp_path / "model.safetensors"
    with pytest.raises(UsageError, match=r"does not return one vector.*; give `pooling='token'`"):
        read_source("timm:vit_large_patch16_224", weights=weights, settings=settings)
    trained = read_source(
        "timm:vit_large_patch16_224", Given(pooling="token+mean"), weights=weights, settings=settings
    )
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        tokens = network(images)
        expected = torch.cat([tokens[:, 0], tokens[:, 5:].mean(1)], 1)
        torch.testing.assert_close(trained.backbone.eval()(images), expected)


def test_a_crop_that_is_left_out_is_said(tmp_path: Path) -> None:
    values = config()
    values["pretrained_cfg"]["crop_pct"] = 0.9
    downloaded(tmp_path, values)
    note = read_source(tmp_path).training["notes"][1]
    assert note.startswith("config.json has a crop_pct of 0.9, which is left out")
    assert "`resize=35` and `crop=32`" in note


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    downloaded(tmp_path)
    with pytest.raises(
        UsageError, match="says that they are of vit_large_patch16_224, not of vit_base_patch16"
    ):
        read_source("timm:vit_base_patch16_224", weights=tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        (json.dumps(config(pretrained_cfg={"mean": [123.7, 116.3, 103.5]})), r"damaged .*not three numbers"),
        (json.dumps(config(pretrained_cfg={"input_size": "large"})), "damaged"),
        (json.dumps(config(pretrained_cfg=[1])), "damaged"),
        (json.dumps(config(model_args=[1])), "damaged"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    downloaded(tmp_path)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UsageError, match=rf"config\.json beside the weights .*{message}"):
        read_source(tmp_path)


def test_files_of_other_libraries_say_nothing(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit", "hidden_size": 48}))
    assert read_hub_config(tmp_path / "w.pth") is None
    assert read_hub_config(tmp_path / "folder" / "w.pth") is None
