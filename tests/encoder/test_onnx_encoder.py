from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.made_models import tiny_clusters, tiny_features, tiny_onnx
from wsi_embed.encoder import Encoder, load_encoder
from wsi_embed.encoder.onnx_encoder import OnnxEncoder
from wsi_embed.errors import DeviceError, ModelError, UsageError

Tiles = npt.NDArray[np.uint8]


def load(path: Path, **flags: Any) -> Encoder:
    return load_encoder(path, device="cpu", **flags)


def foreign(path: Path, shape: list[str | int], *, inputs: int = 1, flat: bool = True) -> Path:
    """A uint8 model without metadata that hands its input through."""
    names = [f"in{i}" for i in range(inputs)]
    nodes = [helper.make_node("Cast", ["in0"], ["pixels"], to=TensorProto.FLOAT)]
    nodes.append(helper.make_node("Flatten" if flat else "Identity", ["pixels"], ["out"]))
    graph = helper.make_graph(
        nodes,
        "foreign",
        [helper.make_tensor_value_info(name, TensorProto.UINT8, shape) for name in names],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, str(path))
    return path


def test_features_and_clusters_are_the_models(tiny: Path, tiles: Tiles) -> None:
    encoded = load(tiny).encode(tiles)
    np.testing.assert_array_equal(encoded.features, tiny_features(tiles))
    np.testing.assert_array_equal(encoded.cluster, tiny_clusters(tiles))
    assert encoded.confidence is not None
    assert ((encoded.confidence > 0.25) & (encoded.confidence <= 1)).all()


def test_equals_plain_onnxruntime(tiny: Path, tiles: Tiles) -> None:
    session = ort.InferenceSession(str(tiny), providers=["CPUExecutionProvider"])
    features, cluster, confidence = session.run(None, {"tiles": tiles})
    encoded = load(tiny).encode(tiles)
    np.testing.assert_array_equal(encoded.features, features)
    np.testing.assert_array_equal(encoded.cluster, cluster)
    np.testing.assert_array_equal(encoded.confidence, confidence)
    assert encoded.features.dtype == np.float32
    assert encoded.cluster is not None
    assert encoded.cluster.dtype == np.int64


def test_batches_do_not_matter(tiny: Path, tiles: Tiles) -> None:
    encoder = load(tiny)
    alone = np.concatenate([encoder.encode(tiles[i : i + 1]).features for i in range(len(tiles))])
    np.testing.assert_array_equal(alone, encoder.encode(tiles).features)


def test_view_into_a_larger_array(tiny: Path) -> None:
    region = np.random.default_rng(1).integers(0, 256, (40, 64, 3), np.uint8)
    view = region[4:36, 20:52][np.newaxis, :, ::-1]
    np.testing.assert_array_equal(load(tiny).encode(view).features, tiny_features(view))


def test_model_without_cluster_head(tmp_path: Path, tiles: Tiles) -> None:
    encoder = load(tiny_onnx(tmp_path / "model.onnx", clusters=None))
    encoded = encoder.encode(tiles)
    assert encoder.clusters is None
    assert encoded.cluster is None
    assert encoded.confidence is None


def test_threads_do_not_change_the_result(tiny: Path, tiles: Tiles) -> None:
    one, two = load(tiny, threads=1).encode(tiles), load(tiny, threads=2).encode(tiles)
    np.testing.assert_array_equal(one.features, two.features)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((2, 31, 32, 3), np.uint8),
        np.zeros((2, 3, 32, 32), np.uint8),
        np.zeros((32, 32, 3), np.uint8),
        np.zeros((2, 32, 32, 4), np.uint8),
        np.zeros((2, 32, 32, 3), np.float32),
    ],
)
def test_wrong_tiles_are_refused(tiny: Path, wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"tiny.onnx wants uint8 \[B, 32, 32, 3\], got"):
        load(tiny).encode(wrong)


def test_foreign_file_needs_tile_and_resolution(tmp_path: Path) -> None:
    path = tiny_onnx(tmp_path / "theirs.onnx", metadata=False)
    for flags in ({}, {"tile_px": 32}, {"mpp": 0.5}):
        with pytest.raises(ModelError, match=r"not exported by wsi-embed; .* `tile_px=` and `mpp=`"):
            load(path, **flags)


def test_foreign_file_with_flags(tmp_path: Path, tiles: Tiles) -> None:
    path = tiny_onnx(tmp_path / "theirs.onnx", metadata=False, clusters=None)
    encoder = load(path, tile_px=32, mpp=0.5)
    assert encoder.model_id == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    assert (encoder.feature_dim, encoder.metadata.tile_px, encoder.metadata.mpp) == (8, 32, 0.5)
    np.testing.assert_array_equal(encoder.encode(tiles).features, tiny_features(tiles))


def test_foreign_file_with_open_sides_and_other_names(tmp_path: Path) -> None:
    path = foreign(tmp_path / "theirs.onnx", ["n", "h", "w", 3])
    encoder = load(path, tile_px=4, mpp=1.0)
    tile = np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3)
    assert encoder.encode(tile).features.tolist() == [list(range(48))]


def test_float_input_is_refused_with_a_way_out(tmp_path: Path) -> None:
    path = tiny_onnx(tmp_path / "float.onnx", input_type="float32")
    with pytest.raises(
        ModelError,
        match=r"takes tiles: float \[batch, 32, 32, 3\] .* into the graph, as `wsi-embed export`",
    ):
        load(path)


@pytest.mark.parametrize(("shape", "inputs"), [(["n", 3, 32, 32], 1), (["n", 3], 1), (["n", 32, 32, 3], 2)])
def test_other_inputs_are_refused(tmp_path: Path, shape: list[str | int], inputs: int) -> None:
    path = foreign(tmp_path / "theirs.onnx", shape, inputs=inputs)
    with pytest.raises(ModelError, match="one tensor of raw tiles"):
        load(path, tile_px=32, mpp=0.5)


def test_features_that_are_maps_are_refused(tmp_path: Path) -> None:
    path = foreign(tmp_path / "maps.onnx", ["n", 4, 4, 3], flat=False)
    with pytest.raises(ModelError, match=r"features have shape \(1, 4, 4, 3\), expected \[batch, D\]"):
        load(path, tile_px=4, mpp=1.0)


@pytest.mark.parametrize("metadata", [True, False])
def test_other_tile_size_is_refused(tmp_path: Path, metadata: bool) -> None:
    path = tiny_onnx(tmp_path / "model.onnx", metadata=metadata)
    with pytest.raises(UsageError, match=r"`tile_px=64`: model\.onnx takes tiles of 32 pixels only"):
        load(path, tile_px=64, mpp=0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"feature_dim": 9}, r"features have shape \(1, 8\), its metadata say 9"),
        ({"clusters": None}, "disagree about the cluster head"),
        ({"tile_px": 64}, "cannot encode a tile of 64 x 64 pixels"),
        ({"schema": 7}, "metadata schema 7"),
    ],
)
def test_metadata_that_contradict_the_graph_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        load(tiny_onnx(tmp_path / "model.onnx", changes=changes))


def test_features_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    path = tiny_onnx(tmp_path / "model.onnx", bad="nan")
    assert np.isnan(load(path).encode(np.zeros((1, 32, 32, 3), np.uint8)).features).all()
    model = onnx.load(str(path))
    (white,) = (i for i in model.graph.initializer if i.name == "white")
    white.CopyFrom(numpy_helper.from_array(np.array(0, np.int32), "white"))  # now white tiles, too
    onnx.save(model, str(path))
    with pytest.raises(ModelError, match="not finite"):
        load(path)


@pytest.mark.parametrize("content", [b"not a model", b"", b"\x00" * 1000])
def test_file_that_is_no_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.onnx: not a model that"):
        load(path)


def test_truncated_model(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "half.onnx"
    path.write_bytes(tiny.read_bytes()[: tiny.stat().st_size // 2])
    with pytest.raises(ModelError, match="not a model"):
        load(path)


@pytest.mark.parametrize("device", ["tpu", "cuda:x", "cpu:0", "cuda:-1", "", "CUDA"])
def test_unknown_device_is_refused(tiny: Path, device: str) -> None:
    with pytest.raises(DeviceError, match=r"choose auto, cpu, cuda\[:N\], tensorrt"):
        load_encoder(tiny, device=device)


def cuda_works(tiny: Path) -> bool:
    return load_encoder(tiny, device="auto").device != "cpu"


def test_cuda_that_is_not_there_is_an_error(tiny: Path) -> None:
    if cuda_works(tiny):
        pytest.skip("CUDA works here")
    for device in ("cuda", "cuda:1"):
        with pytest.raises(DeviceError, match=r"`device='cuda:[01]'`"):
            load_encoder(tiny, device=device)


def test_auto_loads_nothing_of_cuda_without_a_gpu(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsi_embed.encoder.onnx_session.cuda_driver", lambda: (None, 0))
    monkeypatch.setattr("onnxruntime.preload_dlls", lambda **_: pytest.fail("loads libraries"), raising=False)
    assert load_encoder(tiny, device="auto").device == "cpu"


def test_a_model_for_which_there_is_no_memory_is_not_called_broken(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("Exception during initialization: std::bad_alloc")

    monkeypatch.setattr("onnxruntime.InferenceSession", refuse)
    with pytest.raises(ModelError, match="not enough memory to load this model"):
        load_encoder(tiny, device="cpu")


def test_auto_says_what_it_took_and_prints_nothing(tiny: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert load_encoder(tiny, device="auto").device in ("cpu", "cuda:0")
    assert capfd.readouterr() == ("", "")


def test_cpu_is_taken_when_asked_for(tiny: Path) -> None:
    encoder = load(tiny)
    assert isinstance(encoder, OnnxEncoder)
    assert encoder.device == "cpu"


def test_what_others_print_while_a_session_is_made_is_not_lost(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = ort.InferenceSession

    def slow(*args: object, **more: object) -> object:
        sys.stdout.write("from another thread")
        return original(*args, **more)

    monkeypatch.setattr("wsi_embed.encoder.onnx_session.ort.InferenceSession", slow)
    load_encoder(tiny, device="cpu")
    assert "from another thread" in capsys.readouterr().out
