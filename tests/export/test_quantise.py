"""int8: what is quantised, what is not, and that a bad one is not written."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from torch import nn

from tests.export.test_sources import GIVEN, PX
from tests.made_slides import he_pixels, write_svs
from wsi_embed.encoder import Encoded, ModelMetadata, load_encoder
from wsi_embed.encoder.difference import difference
from wsi_embed.errors import UsageError
from wsi_embed_export import TileModel, TrainedModel, export
from wsi_embed_export.parity import ParityError
from wsi_embed_export.quantise import quantised_id
from wsi_embed_export.real_tiles import packaged_tiles, users_tiles
from wsi_embed_export.sources import read_source

writers = importlib.import_module("wsi_embed_export.export")  # the package names a function like the module


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiles")
    for number, tile in enumerate(packaged_tiles(np.random.default_rng(7), 40, PX)):
        cv2.imwrite(str(folder / f"{number:02d}.png"), tile[..., ::-1])
    return folder


@pytest.fixture(scope="module")
def quantised(checkpoint: Path, tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("int8") / "int8.onnx"
    export(checkpoint, out, given=GIVEN, precision="int8", calibrate=tiles)
    return out


def test_int8_is_near_fp32_and_says_how_near(checkpoint: Path, quantised: Path) -> None:
    exact, encoder = TileModel(read_source(checkpoint, GIVEN)), load_encoder(quantised, device="cpu")
    assert encoder.metadata.precision == "int8"
    said = encoder.metadata.parity
    assert said.keys() >= {"centred_cosine", "min_centred_cosine", "cluster_agreement", "max_error"}
    assert 0.97 <= said["centred_cosine"] < 0.99999  # it is not fp32
    unseen = packaged_tiles(np.random.default_rng(8), 32, PX)
    with torch.inference_mode():
        features, cluster, confidence = (out.numpy() for out in exact(torch.from_numpy(unseen)))
    found = difference(Encoded(features, cluster, confidence), encoder.encode(unseen))
    assert found.centred_cosine == pytest.approx(said["centred_cosine"], abs=0.02)
    fp32 = sum(tensor.nbytes for tensor in exact.state_dict().values())
    assert quantised.stat().st_size < 0.4 * fp32


def test_weights_are_int8_by_channel_and_activations_uint8(quantised: Path) -> None:
    graph = onnx.load(str(quantised)).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    made_by = {output: node for node in graph.node for output in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 20
    for node in convolutions:
        given, weight = (made_by[name] for name in node.input[:2])
        assert {given.op_type, weight.op_type} == {"DequantizeLinear"}
        assert constants[weight.input[0]].data_type == onnx.TensorProto.INT8
        channels = constants[weight.input[0]].dims[0]
        assert list(constants[weight.input[1]].dims) == [channels]
        assert constants[given.input[2]].data_type == onnx.TensorProto.UINT8


def test_pooling_and_heads_stay_in_floating_point(quantised: Path) -> None:
    graph = onnx.load(str(quantised)).graph
    made_by = {output: node for node in graph.node for output in node.output}
    heads = [node for node in graph.node if node.op_type in ("Gemm", "MatMul")]
    assert len(heads) == 5
    for node in heads:
        assert all(made_by[name].op_type != "DequantizeLinear" for name in node.input if name in made_by)
    assert made_by["features"].op_type not in ("DequantizeLinear", "QuantizeLinear")


def test_normalisation_stays_in_floating_point_with_constants_as_wide_as_the_tiles(quantised: Path) -> None:
    graph = onnx.load(str(quantised)).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    scaling, shifting = (next(node for node in graph.node if node.op_type == kind) for kind in ("Mul", "Add"))
    assert scaling.output[0] in shifting.input
    for node in (scaling, shifting):
        (constant,) = (constants[name] for name in node.input if name in constants)
        assert constant.data_type == onnx.TensorProto.FLOAT
        assert list(constant.dims) == [1, 3, 1, PX]
        values = onnx.numpy_helper.to_array(constant)
        assert (values == values[..., :1]).all()


def test_nothing_but_standard_operators(quantised: Path) -> None:
    model = onnx.load(str(quantised))
    onnx.checker.check_model(model, full_check=True)
    assert {o.domain for o in model.opset_import} == {""}
    assert not any(node.op_type == "BatchNormalization" for node in model.graph.node)


@pytest.mark.parametrize("batch", [1, 2, 7, 64])
def test_batch_is_dynamic(quantised: Path, batch: int) -> None:
    encoder = load_encoder(quantised, device="cpu")
    many = packaged_tiles(np.random.default_rng(9), 64, PX)
    np.testing.assert_allclose(
        encoder.encode(many[:batch]).features, encoder.encode(many).features[:batch], atol=1e-4
    )


def test_id_is_of_model_and_tiles(checkpoint: Path, quantised: Path, tiles: Path) -> None:
    trained = read_source(checkpoint, GIVEN)
    exact, given = TileModel(trained).digest(), users_tiles(tiles, trained)
    assert load_encoder(quantised, device="cpu").model_id == quantised_id(exact, given)
    ids = {exact, quantised_id(exact, given), quantised_id(exact, given[:20]), quantised_id("other", given)}
    assert len(ids) == 4


def test_too_far_from_fp32_is_refused(
    checkpoint: Path, quantised: Path, tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written(model: TileModel, metadata: ModelMetadata, path: Path, *_: object) -> None:
        shutil.copy(quantised, path)  # it would be made once more, the same

    monkeypatch.setattr(writers, "_write", written)
    with pytest.raises(ParityError, match=r"features \(mean centred cosine 0\.9.*, at least 0\.99999"):
        export(
            checkpoint,
            tmp_path / "m.onnx",
            given=GIVEN,
            precision="int8",
            calibrate=tiles,
            min_cosine=0.99999,
        )
    assert list(tmp_path.iterdir()) == []


def test_calibration_tiles_of_slides_and_of_a_split(checkpoint: Path, tiles: Path, tmp_path: Path) -> None:
    model = read_source(checkpoint, GIVEN)
    write_svs(tmp_path / "a.svs", he_pixels(300, 300), mpp=0.5)
    found = users_tiles(tmp_path / "a.svs", model)
    assert found.shape[1:] == (PX, PX, 3)
    assert len(found) > 4
    rows = [f"{path},{'train' if n % 4 else 'test'}" for n, path in enumerate(sorted(tiles.iterdir()))]
    (tmp_path / "tiles.csv").write_text("path,split\n" + "\n".join(rows) + "\n")
    assert len(users_tiles(tmp_path / "tiles.csv", model, "train")) == 30
    assert len(users_tiles(tmp_path / "tiles.csv", model)) == 40


def test_one_tile_is_not_enough(checkpoint: Path, tiles: Path) -> None:
    with pytest.raises(UsageError, match="one tile is not enough"):
        users_tiles(tiles / "00.png", read_source(checkpoint, GIVEN))


@pytest.mark.parametrize("pool", [nn.AdaptiveAvgPool2d(1), nn.AdaptiveMaxPool2d(1)])
def test_openvino_computes_the_same(tiles: Path, tmp_path: Path, pool: nn.Module) -> None:
    """It loses biases and the normalisation if a graph computes shapes, as adaptive pooling does."""
    pytest.importorskip("openvino")
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(16, 32, 3), nn.ReLU(), pool,
        nn.Flatten(),
    )  # fmt: skip
    for layer in (network[0], network[3]):
        nn.init.normal_(layer.bias, std=0.3)  # type: ignore[arg-type]
    trained = TrainedModel(
        backbone=network, feature_dim=32, projector=None, cluster_head=None, clusters=None, method="weights",
        architecture="small", tile_px=PX, mpp=0.5, mean=(0.7, 0.5, 0.6), std=(0.2,) * 3,
    )  # fmt: skip
    export(trained, tmp_path / "m.onnx", precision="int8", calibrate=tiles)
    unseen = packaged_tiles(np.random.default_rng(10), 24, PX)
    ours, theirs = (
        load_encoder(tmp_path / "m.onnx", device=device).encode(unseen) for device in ("cpu", "openvino")
    )
    assert difference(ours, theirs).centred_cosine > 0.995


def test_networks_with_bounded_activations_keep_their_precision(tiles: Path, tmp_path: Path) -> None:
    """What a ReLU6 cuts off takes no part of the range of eight bits."""
    torch.manual_seed(1)
    wide = torch.nn.Conv2d(3, 16, 3, stride=2)
    with torch.no_grad():
        wide.weight *= 1000
    network = torch.nn.Sequential(
        wide, torch.nn.ReLU6(), torch.nn.Conv2d(16, 16, 3, groups=16), torch.nn.ReLU6(),
        torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(),
    )  # fmt: skip
    trained = TrainedModel(
        backbone=network, feature_dim=64, projector=None, cluster_head=None, clusters=None, method="weights",
        architecture="bounded", tile_px=PX, mpp=0.5, mean=(0.5,) * 3, std=(0.25,) * 3,
    )  # fmt: skip
    said = export(trained, tmp_path / "m.onnx", precision="int8", calibrate=tiles, min_cosine=0.5).parity
    assert said["centred_cosine"] > 0.995
