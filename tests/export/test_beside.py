"""Weights beside an ONNX file: found, checked, and never left behind."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from torch import nn

from tests.made_models import tiny_tiles
from wsi_embed.diagnostics.describe import describe
from wsi_embed.encoder import load_encoder
from wsi_embed.encoder.loading import load_pool
from wsi_embed.errors import ModelError
from wsi_embed_export import TrainedModel, export
from wsi_embed_export.write import weight_bytes

PX = 16
TILES = np.random.default_rng(0).integers(0, 256, (4, PX, PX, 3), np.uint8)


def network(seed: int = 0) -> TrainedModel:
    torch.manual_seed(seed)
    layers = nn.Sequential(nn.Conv2d(3, 64, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return TrainedModel(layers, 64, None, None, None, "made", "made", PX, 0.5, (0.5,) * 3, (0.25,) * 3)


def features(path: Path, device: str = "cpu") -> npt.NDArray[np.float32]:
    return load_encoder(path, device=device).encode(TILES).features


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with `m.onnx` and its weights, and with `whole.onnx` in one file; do not write into it."""
    folder = tmp_path_factory.mktemp("beside")
    export(network(), folder / "m.onnx", largest_file=10_000)
    export(network(), folder / "whole.onnx")
    return folder


@pytest.fixture
def model(folder: Path, tmp_path: Path) -> Path:
    for path in folder.glob("m.onnx*"):
        shutil.copy(path, tmp_path)
    return tmp_path / "m.onnx"


def test_the_same_model_in_two_files(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {"m.onnx", "m.onnx.data", "whole.onnx"}
    weights = network().backbone[0].weight.detach()  # type: ignore[index]
    assert weights.numpy().tobytes() in (folder / "m.onnx.data").read_bytes()
    assert (folder / "m.onnx").stat().st_size < 10_000
    apart, whole = (load_encoder(folder / name, device="cpu") for name in ("m.onnx", "whole.onnx"))
    assert apart.model_id == whole.model_id
    np.testing.assert_array_equal(apart.encode(TILES).features, whole.encode(TILES).features)
    assert describe(str(folder / "m.onnx"))[0]["weights"] == ["m.onnx.data"]
    pool = load_pool(folder / "m.onnx", device="cpu")
    assert pool.first.model_id == apart.model_id


def test_the_checksum_is_that_of_the_format(folder: Path) -> None:
    graph = onnx.load(str(folder / "m.onnx"), load_external_data=False).graph
    entries = [{e.key: e.value for e in tensor.external_data} for tensor in graph.initializer]
    checksum = hashlib.sha1((folder / "m.onnx.data").read_bytes()).hexdigest()
    assert {(each["location"], each["checksum"]) for each in entries if each} == {("m.onnx.data", checksum)}


def test_openvino_finds_the_weights(folder: Path) -> None:
    pytest.importorskip("openvino")
    whole = features(folder / "whole.onnx")
    np.testing.assert_allclose(features(folder / "m.onnx", "openvino"), whole, atol=1e-5)


def test_moved_together_and_under_another_name(model: Path, folder: Path, tmp_path: Path) -> None:
    model.rename(tmp_path / "other.onnx")
    np.testing.assert_array_equal(features(tmp_path / "other.onnx"), features(folder / "m.onnx"))


def test_moved_apart_is_one_line(model: Path, tmp_path: Path) -> None:
    (tmp_path / "m.onnx.data").rename(tmp_path / "elsewhere")
    for device in ("cpu", "auto"):
        with pytest.raises(ModelError) as failed:
            load_encoder(model, device=device)
        said = f"{model}: its weights, 'm.onnx.data', are not beside it; keep both in one folder"
        assert str(failed.value) == said


@pytest.mark.parametrize("change", ["flipped", "shorter", "other"])
def test_weights_of_another_model_are_one_line(model: Path, tmp_path: Path, change: str) -> None:
    features(model)  # a checksum that is remembered does not hide the change
    data = bytearray((tmp_path / "m.onnx.data").read_bytes())
    if change == "flipped":
        data[100] ^= 1
    elif change == "shorter":
        del data[-1000:]
    else:
        export(network(seed=1), tmp_path / "n.onnx", largest_file=10_000)
        data = bytearray((tmp_path / "n.onnx.data").read_bytes())
    (tmp_path / "m.onnx.data").write_bytes(data)
    with pytest.raises(
        ModelError, match=r"m\.onnx\.data, are damaged or of another model; copy both files again"
    ):
        load_encoder(model, device="cpu")


def test_exported_again_in_one_file_removes_the_weights_of_the_old_one(model: Path, tmp_path: Path) -> None:
    (tmp_path / "whole.onnx.data").write_text("of somebody else")
    export(network(), tmp_path / "whole.onnx")
    export(network(), model)
    assert {path.name for path in tmp_path.iterdir()} == {"m.onnx", "whole.onnx", "whole.onnx.data"}


def test_int8_of_large_weights(tmp_path: Path) -> None:
    tiles, trained = tiny_tiles(tmp_path / "tiles"), replace(network(), tile_px=32)
    for name, largest in (("whole", 2**30), ("made_beside", 60_000), ("beside", 10_000)):
        export(trained, tmp_path / f"{name}.onnx", precision="int8", calibrate=tiles, largest_file=largest)
    assert [path.name for path in tmp_path.glob("*.data")] == ["beside.onnx.data"]
    unseen = np.random.default_rng(1).integers(0, 256, (4, 32, 32, 3), np.uint8)
    one, two, three = (
        load_encoder(path, device="cpu").encode(unseen).features for path in tmp_path.glob("*.onnx")
    )
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one, three)


def test_the_limit_is_that_of_one_file(tmp_path: Path) -> None:
    from wsi_embed_export import TileModel

    size = weight_bytes(TileModel(network()))
    export(network(), tmp_path / "m.onnx", largest_file=size)
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]
