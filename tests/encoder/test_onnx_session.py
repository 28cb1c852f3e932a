"""Options of ONNX Runtime sessions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from wsi_embed.encoder import onnx_session
from wsi_embed.encoder.device import Device
from wsi_embed.util.cpu import has_vnni


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A product of a uint8 vector with an int8 matrix, whose sums of two exceed 16 bits; and the matrix."""
    weight = np.full((64, 8), 127, np.int8)
    weight[:, 4:] = -127
    names = ("tiles_scale", "tiles_zero", "weight_scale", "weight_zero", "sums_scale", "sums_zero")
    values = (np.float32(1), np.uint8(0), np.float32(1), np.int8(0), np.float32(2**15), np.uint8(128))
    constants = [
        onnx.numpy_helper.from_array(np.asarray(value), name)
        for name, value in zip(names, values, strict=True)
    ]
    node = helper.make_node(
        "QLinearMatMul",
        ["tiles", *names[:2], "weight", *names[2:]],
        ["sums"],
    )
    graph = helper.make_graph(
        [node],
        "products",
        [helper.make_tensor_value_info("tiles", TensorProto.UINT8, ["batch", 64])],
        [helper.make_tensor_value_info("sums", TensorProto.UINT8, ["batch", 8])],
        [*constants, onnx.numpy_helper.from_array(weight, "weight")],
    )
    path = tmp_path_factory.mktemp("products") / "products.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path, weight


@pytest.mark.parametrize("vnni", [False, has_vnni()])
def test_sums_of_int8_products_are_exact(
    products: tuple[Path, np.ndarray], monkeypatch: pytest.MonkeyPatch, vnni: bool
) -> None:
    path, weight = products
    monkeypatch.setattr(onnx_session, "has_vnni", lambda: vnni)
    session, _ = onnx_session.open_session(path, Device("cpu"), threads=1)
    tiles = np.full((3, 64), 255, np.uint8)
    right = (tiles.astype(np.int64) @ weight / 2**15).round() + 128
    assert 0 < right.min() < right.max() < 255
    np.testing.assert_array_equal(session.run(None, {"tiles": tiles})[0], right)


@pytest.mark.parametrize("vnni", [False, True])
def test_slow_exact_products_only_where_the_fast_ones_are_not(
    products: tuple[Path, np.ndarray], monkeypatch: pytest.MonkeyPatch, vnni: bool
) -> None:
    monkeypatch.setattr(onnx_session, "has_vnni", lambda: vnni)
    session, _ = onnx_session.open_session(products[0], Device("cpu"), threads=1)
    option = session.get_session_options().get_session_config_entry("session.x64quantprecision")
    assert option == str(int(not vnni))
