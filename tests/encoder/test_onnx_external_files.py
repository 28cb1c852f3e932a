"""Weights in other files: within the model's folder they are read, outside it never."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.made_models import tiny_features, tiny_onnx
from wsi_embed.encoder import load_encoder
from wsi_embed.encoder.onnx_external_files import external_files
from wsi_embed.errors import ModelError


def outside(folder: Path, location: str, *, where: str = "initializer") -> Path:
    """A model whose weights lie at a place of its own choice."""
    (folder / "models").mkdir()
    path = tiny_onnx(folder / "models" / "m.onnx", metadata=False, clusters=None)
    model = onnx.load(str(path))
    (weights,) = (t for t in model.graph.initializer if t.name == "weights")
    data = numpy_helper.to_array(weights).tobytes()
    (folder / "secret.bin").write_bytes(data)
    (folder / "models" / "weights.bin").write_bytes(data)
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(len(data)))):
        entry = weights.external_data.add()
        entry.key, entry.value = key, value
    if where == "constant":  # in a node of a branch
        constant = helper.make_node("Constant", [], ["weights"], value=weights)
        branch = helper.make_graph(
            [constant], "branch", [], [helper.make_tensor_value_info("weights", 6, None)]
        )
        model.graph.initializer.remove(weights)
        model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
        choice = helper.make_node("If", ["yes"], ["weights"], then_branch=branch, else_branch=branch)
        nodes = [choice, *model.graph.node]
        del model.graph.node[:]
        model.graph.node.extend(nodes)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("where", ["initializer", "constant"])
@pytest.mark.parametrize("location", ["../secret.bin", "a/../../secret.bin", "{absolute}", "link.bin"])
@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_files_outside_the_folder_are_refused(tmp_path: Path, location: str, where: str, device: str) -> None:
    if device == "openvino":
        pytest.importorskip("openvino")
    path = outside(tmp_path, location.format(absolute=tmp_path / "secret.bin"), where=where)
    (path.parent / "link.bin").symlink_to("../secret.bin")
    with pytest.raises(ModelError, match="lies outside its folder; such a file is not read"):
        load_encoder(path, device=device, tile_px=32, mpp=0.5)


def test_files_beside_the_model_are_read_and_are_part_of_its_id(tmp_path: Path) -> None:
    path = outside(tmp_path, "weights.bin")
    assert external_files(path) == ["weights.bin"]
    encoder = load_encoder(path, device="cpu", tile_px=32, mpp=0.5)
    tiles = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    np.testing.assert_array_equal(encoder.encode(tiles).features, tiny_features(tiles))
    data = bytearray((path.parent / "weights.bin").read_bytes())
    data[0] ^= 1
    (path.parent / "weights.bin").write_bytes(data)
    assert load_encoder(path, device="cpu", tile_px=32, mpp=0.5).model_id != encoder.model_id


def test_models_in_one_file_have_none(tiny: Path) -> None:
    assert external_files(tiny) == []


@given(st.binary(max_size=60), st.integers(0, 2**20))
def test_damage_is_an_error_of_ours(tiny: Path, junk: bytes, at: int) -> None:
    content = tiny.read_bytes()
    at %= len(content)
    path = tiny.parent / "damaged.onnx"
    path.write_bytes(content[:at] + junk + content[at + len(junk) :])
    try:
        names = external_files(path)
    except ModelError:
        return
    assert isinstance(names, list)
