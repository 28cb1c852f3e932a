from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.made_models import tiny_onnx
from wsi_embed.encoder import PACKAGED, default_model, load_encoder
from wsi_embed.encoder.difference import difference
from wsi_embed.encoder.metadata import ModelMetadata
from wsi_embed.errors import ModelError
from wsi_embed.slide.sample import tissue_picture


@pytest.mark.parametrize("name", PACKAGED)
def test_default_model_keeps_its_word(name: str) -> None:
    encoder = load_encoder(name, device="cpu")
    px = encoder.metadata.tile_px
    tiles = np.random.default_rng(0).integers(0, 256, (3, px, px, 3), np.uint8)
    encoded = encoder.encode(tiles)
    assert encoder.path == default_model(name)
    assert encoded.features.shape == (3, encoder.feature_dim)
    assert np.isfinite(encoded.features).all()
    assert len(np.unique(encoded.features, axis=0)) == 3
    if encoder.clusters is not None:
        assert encoded.cluster is not None
        assert ((encoded.cluster >= 0) & (encoded.cluster < encoder.clusters)).all()


@pytest.mark.parametrize("name", PACKAGED)
def test_default_model_says_what_it_is(name: str) -> None:
    about = load_encoder(name, device="cpu").metadata
    assert about.model_id.startswith("sha256:")
    assert about.mpp is not None
    assert about.licence
    assert about.training
    assert about.parity


def test_none_is_the_default_model_and_int8_is_near_it() -> None:
    exact, fast = load_encoder(device="cpu"), load_encoder("default-int8", device="cpu")
    assert exact.path == default_model()
    clusters = [encoder.metadata.training["clusters"] for encoder in (exact, fast)]
    assert clusters[0]["shares"] == clusters[1]["shares"]
    picture, px = tissue_picture(), exact.metadata.tile_px
    places = np.random.default_rng(0).integers(0, min(picture.shape[:2]) - px, (32, 2))
    tiles = np.stack([picture[y : y + px, x : x + px] for x, y in places])
    assert difference(exact.encode(tiles), fast.encode(tiles)).centred_cosine > 0.95


def test_path_may_be_text(tiny: Path) -> None:
    assert load_encoder(str(tiny), device="cpu").model_id == load_encoder(tiny, device="cpu").model_id


def test_ending_may_be_in_capitals(tiny: Path, tmp_path: Path) -> None:
    copy = shutil.copy(tiny, tmp_path / "TINY.ONNX")
    assert load_encoder(copy, device="cpu").feature_dim == 8


def test_model_id_is_the_files(tmp_path: Path) -> None:
    one, two = (tiny_onnx(tmp_path / f"{seed}.onnx", seed=seed) for seed in (1, 2))
    assert load_encoder(one, device="cpu").model_id == "made:32-8-4-1-None"
    assert load_encoder(two, device="cpu").model_id == "made:32-8-4-2-None"


def test_metadata_are_read_whole(tmp_path: Path) -> None:
    path = tiny_onnx(tmp_path / "model.onnx", changes={"training_slides": ["a", "b"], "licence": "CC0-1.0"})
    about = load_encoder(path, device="cpu").metadata
    assert isinstance(about, ModelMetadata)
    assert (about.training_slides, about.licence) == (("a", "b"), "CC0-1.0")


def test_mpp_of_the_user_wins(tiny: Path) -> None:
    assert load_encoder(tiny, device="cpu").mpp == 0.5
    assert load_encoder(tiny, device="cpu", mpp=0.25).mpp == 0.25


def test_mpp_left_open_is_the_users_to_say(tmp_path: Path) -> None:
    path = tiny_onnx(tmp_path / "model.onnx", mpp=None)
    assert load_encoder(path, device="cpu").mpp is None
    assert load_encoder(path, device="cpu", mpp=0.5).mpp == 0.5


def test_tile_px_that_fits_is_fine(tiny: Path) -> None:
    assert load_encoder(tiny, device="cpu", tile_px=32).metadata.tile_px == 32


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.onnx: no such model file; check the path"):
        load_encoder(tmp_path / "gone.onnx")


def test_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such model file"):
        load_encoder(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.pt", "weights, not a model; export it first"),
        ("model.ckpt", "weights, not a model; export it first"),
        ("model", r"ends in \.onnx or \.ts"),
    ],
)
def test_unknown_ending(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ModelError, match=message):
        load_encoder(tmp_path / name)
