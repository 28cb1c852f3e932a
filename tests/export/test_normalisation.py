"""Normalisation that no file states: a note, or a refusal where it would be a guess."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from wsi_embed.errors import UsageError
from wsi_embed_export import Given, TrainedModel, read_source
from wsi_embed_export.presets import presets

timm = pytest.importorskip("timm")

SETTINGS = {"img_size": 32, "patch_size": 16, "embed_dim": 48, "depth": 1, "num_heads": 3}
IMAGENET = Given((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def read(folder: Path, name: str, given: Given, **settings: Any) -> TrainedModel:
    settings = SETTINGS | settings
    torch.save(timm.create_model(name, num_classes=0, **settings).state_dict(), folder / "w.pth")
    return read_source(f"timm:{name}", given, weights=folder / "w.pth", settings=settings)


def test_a_note_says_which_numbers_are_used(tmp_path: Path) -> None:
    trained = read(tmp_path, "vit_tiny_patch16_224", Given())
    assert (trained.mean, trained.std) == ((0.5,) * 3, (0.5,) * 3)
    (note,) = trained.training["notes"]
    assert note.startswith("mean 0.5,0.5,0.5 and std 0.5,0.5,0.5 are those that timm notes for timm:vit_tiny")
    assert "model cards often differ" in note


def test_no_note_if_the_numbers_are_given(tmp_path: Path) -> None:
    assert "notes" not in read(tmp_path, "vit_tiny_patch16_224", IMAGENET).training
    half = read(tmp_path, "vit_tiny_patch16_224", Given(mean=IMAGENET.mean))
    assert half.training["notes"][0].startswith("mean 0.485,0.456,0.406 and std 0.5,0.5,0.5 are")


@pytest.mark.parametrize(
    ("name", "preset"),
    [
        ("vit_large_patch16_224", "uni"), ("vit_giant_patch14_224", "uni2-h"),
        ("vit_huge_patch14_224", "virchow"), ("vit_small_patch16_224", "lunit-vits16"),
        ("vit_small_patch8_224", "lunit-vits8"),
        ("vit_giant_patch14_reg4_dinov2", "h-optimus-0"), ("vit_base_patch14_reg4_dinov2", "h0-mini"),
    ],
)  # fmt: skip
def test_architectures_with_other_numbers_on_cards_are_refused(
    tmp_path: Path, name: str, preset: str
) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, name, Given())
    assert f"timm:{name}: timm notes mean" in str(caught.value)
    assert preset in [each.name for each in presets().values() if each.architecture == f"timm:{name}"]
    assert read(tmp_path, name, IMAGENET).mean == IMAGENET.mean


def test_the_size_of_the_images_is_that_of_the_arguments(tmp_path: Path) -> None:
    """timm notes 518 px for DINOv2."""
    trained = read(tmp_path, "vit_small_patch14_dinov2", IMAGENET, img_size=28, patch_size=14)
    assert (trained.tile_px, trained.resize) == (28, None)


def test_tiles_of_another_size_than_the_network_can_be_resized(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"does not take images of 48 pixels .*`resize=`"):
        read(tmp_path, "vit_tiny_patch16_224", Given(tile_px=48))
    trained = read(tmp_path, "vit_tiny_patch16_224", Given(tile_px=48, resize=40, crop=32))
    assert trained.tile_px == 48
    assert trained.training["transform"] == "resize 40 bicubic, centre crop 32"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pretrained": True}, "nothing is downloaded: give the weights as a file"),
        ({"features_only": True}, "features of stages are not exported"),
        ({"num_classes": 7}, "classifiers are not exported"),
    ],
)
def test_arguments_that_an_export_does_not_take(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    (tmp_path / "w.pth").write_bytes(b"")
    torch.save({}, tmp_path / "w.pth")
    with pytest.raises(UsageError, match=message):
        read_source("timm:resnet18", weights=tmp_path / "w.pth", settings=settings)


def test_num_classes_of_model_cards_is_accepted(tmp_path: Path) -> None:
    assert read(tmp_path, "vit_tiny_patch16_224", IMAGENET).feature_dim == 48
    state = timm.create_model("vit_tiny_patch16_224", num_classes=0, **SETTINGS).state_dict()
    torch.save(state, tmp_path / "w.pth")
    settings = {**SETTINGS, "num_classes": 0, "pretrained": False}
    assert read_source("timm:vit_tiny_patch16_224", IMAGENET, weights=tmp_path / "w.pth", settings=settings)
