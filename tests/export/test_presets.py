"""Presets: their figures at full size, and their features against model cards, on smaller networks."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.export.cards import CARDS, SMALL, published, run
from tests.export.published import randomised
from wsi_embed.encoder import load_encoder
from wsi_embed.errors import UsageError
from wsi_embed_export import Given, TrainedModel, export
from wsi_embed_export.graph import TileModel
from wsi_embed_export.networks import NETWORKS, OwnNetwork
from wsi_embed_export.networks.conch import Conch
from wsi_embed_export.presets import Preset, presets
from wsi_embed_export.real_tiles import packaged_tiles
from wsi_embed_export.sources.preset import read_preset
from wsi_embed_train.backbones import make_backbone

NAMES = sorted(presets())
ROOT = Path(__file__).parents[2]


def test_each_preset_has_a_card() -> None:
    assert sorted(CARDS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_figures_of_the_published_file(name: str) -> None:
    """Signature and number of parameters, at full size on a device without memory."""
    preset = presets()[name]
    with torch.device("meta"):
        network = CARDS[name].make({})
    state = published(name, dict(network.state_dict()))
    state = state.get("model", state)
    assert {key: tuple(state[key].shape) for key in preset.signature} == dict(preset.signature)
    unused = ("mask_token", "net.fc.", "net.layer4.") if "clam" in name else ("mask_token", "net.fc.")
    count = sum(p.numel() for key, p in network.named_parameters() if not any(u in key for u in unused))
    if name == "kaiko-vitl14":  # positions of 518 px, and one for the class token
        count -= (37**2 + 1 - 16**2) * 1024
    elif name.startswith("hibou"):  # the position of the class token is added to the token
        count -= preset.feature_dim
    elif name == "conch-v1.5":  # positions of 224 px
        count += (28**2 - 14**2) * 1024
    assert preset.parameters == count


def smaller(name: str, monkeypatch: pytest.MonkeyPatch) -> Preset:
    """The preset for the smaller network of its card."""
    preset = presets()[name]
    if name == "conch-v1.5":

        def make(px: int) -> torch.nn.Module:
            sizes = {"img_size": px, "init_values": 1.0, "global_pool": "", **SMALL}
            return Conch(make_backbone("timm/vit_large_patch16_224", **sizes)[0], 32, 8)

        monkeypatch.setitem(NETWORKS, name, OwnNetwork(make))
    arguments = {**preset.arguments, **CARDS[name].smaller} if ":vit" in preset.architecture else {}
    return replace(preset, arguments=arguments, signature={})


def saved(name: str, folder: Path) -> tuple[Path, torch.nn.Module]:
    """The smaller network of a card with random weights, and the published file of it."""
    network = randomised(CARDS[name].make(SMALL), std=0.03 if "resnet" in name else 0.08)
    content = published(name, dict(network.state_dict()))
    path = folder / presets()[name].file
    if path.suffix == ".safetensors":
        save_file({key: value.contiguous() for key, value in content.items()}, path)
    else:
        torch.save(content, path)
    return path, network


def tiles_for(name: str, count: int = 3) -> Any:
    return packaged_tiles(np.random.default_rng(7), count, CARDS[name].tile_px)


def assert_same(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.shape == expected.shape
    cosine = torch.nn.functional.cosine_similarity(found, expected)
    centred = torch.nn.functional.cosine_similarity(found - expected.mean(0), expected - expected.mean(0))
    assert float(cosine.min()) > 0.99999
    assert float(centred.min()) > 0.9999
    torch.testing.assert_close(found, expected, atol=1e-3 * float(expected.abs().max()), rtol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_features_are_those_of_the_card(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, network = saved(name, tmp_path)
    trained = read_preset(smaller(name, monkeypatch), path, {}, Given())
    assert trained.tile_px == CARDS[name].tile_px
    tiles = tiles_for(name)
    with torch.inference_mode():
        found = TileModel(trained)(torch.from_numpy(tiles))
    assert isinstance(found, torch.Tensor)
    assert trained.feature_dim == found.shape[1]
    assert_same(found, run(name, network, tiles))


@pytest.mark.parametrize(
    ("name", "pooling"), [(name, pooling) for name in NAMES for pooling in CARDS[name].other]
)
def test_further_poolings_of_the_card(
    name: str, pooling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert presets()[name].other_poolings == tuple(CARDS[name].other)
    path, network = saved(name, tmp_path)
    trained = read_preset(smaller(name, monkeypatch), path, {}, Given(pooling=pooling))
    tiles = tiles_for(name)
    with torch.inference_mode():
        found = TileModel(trained)(torch.from_numpy(tiles))
    assert isinstance(found, torch.Tensor)
    assert_same(found, run(name, network, tiles, pooling))


def as_installed(preset: Preset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command find a smaller preset under its name."""
    monkeypatch.setattr("wsi_embed_export.sources.presets", lambda: {**presets(), preset.name: preset})


@pytest.mark.parametrize("name", ["virchow2", "prov-gigapath"])
def test_exported_files(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsi_embed_export.parity.BATCHES", (1, 3))
    path, network = saved(name, tmp_path)
    preset = smaller(name, monkeypatch)
    as_installed(preset, monkeypatch)
    about = export(name, tmp_path / "model.onnx", weights=path)
    assert (about.mean, about.std, about.mpp) == (preset.mean, preset.std, preset.mpp)
    assert (about.tile_px, about.licence) == (preset.tile_px, preset.terms)
    assert about.training["preset"] == name
    assert about.training["model_card"] == preset.repository
    tiles = tiles_for(name)
    found = load_encoder(tmp_path / "model.onnx", device="cpu").encode(tiles).features
    assert_same(torch.from_numpy(found), run(name, network, tiles))


def test_tiles_of_another_size_are_resized_as_on_the_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, network = saved("uni", tmp_path)
    trained = read_preset(smaller("uni", monkeypatch), path, {}, Given(tile_px=256, mpp=0.4375))
    assert (trained.tile_px, trained.mpp) == (256, 0.4375)
    assert trained.training["transform"] == "resize 224 bilinear"
    tiles = packaged_tiles(np.random.default_rng(8), 3, 256)
    with torch.inference_mode():
        found = TileModel(trained)(torch.from_numpy(tiles))
    assert isinstance(found, torch.Tensor)
    assert_same(found, run("uni", network, tiles))


@pytest.mark.parametrize("name", ["uni", "virchow2"])
def test_another_input_resamples_positions_as_timm(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, card = saved(name, tmp_path)
    patch = {key: shape for key, shape in presets()[name].signature.items() if "patch_embed" in key}
    preset = replace(smaller(name, monkeypatch), signature=patch)
    monkeypatch.setattr("wsi_embed_export.sources.preset._check_signature", lambda *_: None)
    trained = read_preset(preset, path, {}, Given(tile_px=336, resize=336, pooling="token"))
    assert trained.training["notes"][-1] == "the network sees 336 pixels, on the card 224"
    dynamic = CARDS[name].make({**SMALL, "dynamic_img_size": True}).eval()
    dynamic.load_state_dict(card.state_dict())
    images = torch.randn(2, 3, 336, 336)
    with torch.inference_mode():
        expected = dynamic(images)
        found = trained.backbone.eval()(images)
    expected = expected[:, 0] if expected.ndim == 3 else expected
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_the_size_of_the_input_is_not_an_argument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = saved("uni", tmp_path)
    with pytest.raises(UsageError, match=r"'img_size': 448.* follows from the tiles; give `resize=`"):
        read_preset(smaller("uni", monkeypatch), path, {"img_size": 448}, Given())


def test_values_of_the_user_come_first_and_are_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = saved("uni", tmp_path)
    given = Given(mean=(0.1, 0.2, 0.3), pooling="mean")
    trained = read_preset(smaller("uni", monkeypatch), path, {"init_values": 1e-4}, given)
    assert trained.mean == (0.1, 0.2, 0.3)
    assert trained.std == presets()["uni"].std
    assert trained.training["changed"] == ["init_values", "mean", "pooling"]


def test_the_weights_of_another_model_are_named(tmp_path: Path) -> None:
    state = {key: torch.empty(shape) for key, shape in presets()["uni2-h"].signature.items()}
    torch.save({"model": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "w.bin")
    with pytest.raises(UsageError) as caught:
        export("uni", tmp_path / "m.onnx", weights=tmp_path / "w.bin")
    assert str(caught.value) == (
        "w.bin: not the weights of UNI: patch_embed.proj.weight has the shape [1536, 3, 14, 14], expected "
        "[1024, 3, 16, 16]; its names and shapes are those of uni2-h"
    )


def test_missing_weights_are_asked_for_with_their_address(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"uni2-h: needs weights, .*get pytorch_model\.bin from https://hugg"
    ):
        export("uni2-h", tmp_path / "m.onnx")
    with pytest.raises(UsageError, match=r"missing\.bin: no such file"):
        export("uni2-h", tmp_path / "m.onnx", weights=tmp_path / "missing.bin")


def test_similar_names_are_suggested(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="near presets: uni2-h"):
        export("uni2h", tmp_path / "m.onnx")


def test_a_run_folder_of_that_name_is_still_a_run(run: Path, tmp_path: Path) -> None:
    (tmp_path / "uni").symlink_to(run)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert export("uni", tmp_path / "m.ts").method == "clubyol"


@pytest.mark.parametrize("name", NAMES)
def test_each_figure_has_a_source(name: str) -> None:
    preset = presets()[name]
    assert {"architecture", "transform"} <= preset.sources.keys()
    assert (preset.mpp is None) == ("mpp" not in preset.sources)
    assert preset.repository.startswith("https://")
    assert preset.non_commercial == bool(re.search(r"NC|non-commercial", preset.licence, re.IGNORECASE))
    assert len(preset.signature) >= 3


def test_a_config_with_other_numbers_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one beside Lunit's weights on a model hub has the numbers of ImageNet."""
    path, _ = saved("lunit-vits16", tmp_path)
    for mean, said in (((0.485, 0.456, 0.406), True), (presets()["lunit-vits16"].mean, False)):
        config = {"mean": mean, "std": presets()["lunit-vits16"].std}
        text = json.dumps({"architecture": "vit_small_patch16_224", "pretrained_cfg": config})
        (tmp_path / "config.json").write_text(text)
        trained = read_preset(smaller("lunit-vits16", monkeypatch), path, {}, Given())
        assert trained.mean == presets()["lunit-vits16"].mean
        assert any("another mean or std" in note for note in trained.training["notes"]) == said


def test_own_networks_take_no_pooling(tmp_path: Path) -> None:
    path, _ = saved("ctranspath", tmp_path)
    with pytest.raises(UsageError, match="ctranspath takes no `pooling=`"):
        read_preset(presets()["ctranspath"], path, {}, Given(pooling="mean"))


def test_the_trained_model_says_where_it_is_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = saved("virchow2", tmp_path)
    trained = read_preset(smaller("virchow2", monkeypatch), path, {}, Given())
    assert isinstance(trained, TrainedModel)
    assert trained.licence == "CC-BY-NC-ND-4.0 (non-commercial use only)"
    assert trained.training["pooling"] == "token+mean"
    assert trained.training["notes"] == ["Virchow2: trained on 0.25, 0.5, 1 and 2 um per pixel"]
