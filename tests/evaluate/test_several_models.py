"""Features of several models and of a colour histogram."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.evaluate.made import table
from tests.made_models import tiny_features, tiny_onnx, tiny_tiles
from wsi_embed.encoder import default_model
from wsi_embed.errors import ModelError, TileError, UsageError
from wsi_embed.evaluate.colour_histogram import colour_histogram, histograms_of_images
from wsi_embed.evaluate.several_models import encode_with_models, model_names
from wsi_embed.evaluate.tile_table import TileTable, read_tile_table
from wsi_embed.slide.tile_images import image_digest, read_image


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six tiles of 32 pixels in `t`, models of this and another tile size. Do not change it."""
    made = tmp_path_factory.mktemp("made")
    tiny_tiles(made / "t", 6)
    tiny_onnx(made / "a.onnx")
    digests = {"images": 1, "image_digests": [image_digest(made / "t" / "tile_02.png")]}
    tiny_onnx(made / "b.onnx", tile_px=16, seed=1, changes={"training": digests})
    lines = [f"t/tile_{n:02}.png,{'ab'[n % 2]},{n // 2}" for n in range(6)]
    table(made / "tiles.csv", "path,label,case", *lines)
    return made


@pytest.fixture(scope="module")
def tiles(folder: Path) -> TileTable:
    return read_tile_table(folder / "tiles.csv", group="case")


def test_features_are_those_of_each_model(folder: Path, tiles: TileTable) -> None:
    said: dict[str, int] = {}

    def count(step: str, done: int, total: int) -> None:
        assert total == 6
        said[step] = said.get(step, 0) + done

    models = [folder / "a.onnx", folder / "b.onnx"]
    found = encode_with_models(
        tiles, models, colour_histogram=True, device="cpu", batch_size=4, progress=count
    )
    assert list(found) == ["colour histogram", "a", "b"]
    pixels = np.stack([read_image(path) for path in tiles.paths])
    np.testing.assert_array_equal(found["a"].features, tiny_features(pixels))
    halved = pixels.reshape(6, 16, 2, 16, 2, 3).astype(float).mean((2, 4))
    expected = tiny_features(np.floor(halved + 0.5).astype(np.uint8), seed=1)
    np.testing.assert_allclose(found["b"].features, expected, rtol=0.02, atol=0.5)
    assert said == {"colour histogram: tiles": 6, "a: tiles": 6, "b: tiles": 6}
    assert found["a"].seen is None
    assert found["a"].notes[0].startswith("a: the model does not say what it was trained on")
    assert found["b"].seen == {"slides": [], "tiles": 1, "known_tiles": 1}
    assert found["b"].notes[0].startswith("b: the model was trained on 1 tile of the test set (tile_02.png)")


def test_a_colour_histogram_by_counting() -> None:
    tile = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    counts = np.zeros((6, 6, 6))
    for pixel in tile.reshape(-1, 3).tolist():
        counts[tuple(int(value * 6 / 256) for value in pixel)] += 1
    np.testing.assert_allclose(colour_histogram(tile), np.sqrt(counts).ravel(), rtol=1e-6)


def test_histograms_of_images_are_of_their_squares_and_of_length_one(tmp_path: Path) -> None:
    wide = np.full((8, 16, 3), 10, np.uint8)
    wide[:, :4] = 200  # outside the central square
    for name, pixels in (
        ("wide", wide),
        ("small", wide[:, 4:12]),
        ("large", np.full((20, 20, 3), 10, np.uint8)),
    ):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    rows = histograms_of_images([tmp_path / f"{name}.png" for name in ("wide", "small", "large")])
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(rows[0], rows[1])
    np.testing.assert_allclose(rows[0], rows[2], rtol=1e-6)


def test_names_are_as_short_as_they_differ(folder: Path, tmp_path: Path) -> None:
    for name in ("one/x/model.onnx", "two/x/model.onnx", "two/y/model.onnx", "two/y/other.onnx"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "a.onnx", tmp_path / name)
    assert model_names([tmp_path / "two/y/model.onnx", tmp_path / "two/y/other.onnx"]) == ["model", "other"]
    models = [tmp_path / name for name in ("two/x/model.onnx", "two/y/model.onnx")]
    assert model_names(models) == ["x/model", "y/model"]
    assert model_names([tmp_path / "one/x/model.onnx", *models])[:2] == ["one/x/model", "two/x/model"]
    assert model_names(["default", folder / "a.onnx"]) == ["default", "a"]
    (tmp_path / "link.onnx").symlink_to(folder / "a.onnx")
    assert model_names([tmp_path / "link.onnx"]) == ["link"]


def test_models_that_cannot_be_compared(folder: Path, tmp_path: Path, tiles: TileTable) -> None:
    with pytest.raises(UsageError, match=r"`model='default'`: the same file 2 times; give each model once"):
        model_names(["default", default_model()])
    (tmp_path / "link.onnx").symlink_to(folder / "a.onnx")
    with pytest.raises(UsageError, match=r"a.onnx'`: the same file 2 times"):
        model_names([folder / "a.onnx", folder / "b.onnx", tmp_path / "link.onnx"])
    with pytest.raises(ModelError, match=r"none.onnx: no such model file"):
        encode_with_models(tiles, [folder / "a.onnx", folder / "none.onnx"])
    with pytest.raises(UsageError, match="give `model=`, `colour_histogram=True` or both"):
        encode_with_models(tiles, [])
    large = tiny_onnx(tmp_path / "large.onnx", tile_px=64)
    with pytest.raises(TileError, match="32 x 32 pixels, smaller than the crop of 64"):
        encode_with_models(tiles, [large], device="cpu")
