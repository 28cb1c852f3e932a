"""int8 of vision transformers: only linear layers are quantised."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from wsi_embed.encoder import ModelMetadata, load_encoder
from wsi_embed_export import TileModel, TrainedModel, export
from wsi_embed_export.quantise import quantised_id
from wsi_embed_export.real_tiles import packaged_tiles, users_tiles

timm = pytest.importorskip("timm")
PX, DEPTH = 32, 2


def transformer() -> TrainedModel:
    """A small vision transformer with one large value in each token, as trained ones have."""
    torch.manual_seed(0)
    network = timm.create_model(
        "vit_tiny_patch16_224", img_size=PX, patch_size=8, depth=DEPTH, embed_dim=48, num_heads=3,
        num_classes=0, global_pool="avg",
    )  # fmt: skip
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            scale = name.endswith(("norm1.weight", "norm2.weight", "norm.weight"))
            tensor.normal_(std=0.2).add_(scale)
            if scale:
                tensor[7] = 0.02
        network.pos_embed[..., 7] += 5
    return TrainedModel(
        backbone=network, feature_dim=48, projector=None, cluster_head=None, clusters=None, method="weights",
        architecture="small", tile_px=PX, mpp=0.5, mean=(0.7, 0.5, 0.6), std=(0.2,) * 3,
    )  # fmt: skip


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiles")
    for number, tile in enumerate(packaged_tiles(np.random.default_rng(7), 24, PX)):
        cv2.imwrite(str(folder / f"{number:02d}.png"), tile[..., ::-1])
    return folder


@pytest.fixture(scope="module")
def quantised(
    tiles: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[onnx.GraphProto, ModelMetadata, Path]:
    out = tmp_path_factory.mktemp("int8") / "int8.onnx"
    metadata = export(transformer(), out, precision="int8", calibrate=tiles)
    return onnx.load(str(out)).graph, metadata, out


def test_large_values_of_a_transformer_cost_no_precision(
    quantised: tuple[onnx.GraphProto, ModelMetadata, Path],
) -> None:
    _, metadata, out = quantised
    assert 0.998 < metadata.parity["centred_cosine"] < 0.99999  # with all operators in int8 0.98
    unseen = packaged_tiles(np.random.default_rng(8), 16, PX)
    with torch.inference_mode():
        exact = TileModel(transformer())(torch.from_numpy(unseen)).numpy()
    found = load_encoder(out, device="cpu").encode(unseen).features
    a, b = exact - exact.mean(0), found - found.mean(0)
    assert ((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b)) > 0.998


def test_only_linear_layers_are_quantised(quantised: tuple[onnx.GraphProto, ModelMetadata, Path]) -> None:
    graph = quantised[0]
    made_by = {output: node for node in graph.node for output in node.output}
    of_integers = [
        node
        for node in graph.node
        if any(made_by[name].op_type == "DequantizeLinear" for name in node.input if name in made_by)
    ]
    assert {node.op_type for node in of_integers} <= {"MatMul", "Gemm"}
    assert len(of_integers) == 4 * DEPTH  # qkv, proj, fc1 and fc2


def test_weights_have_seven_bits(quantised: tuple[onnx.GraphProto, ModelMetadata, Path]) -> None:
    """Sums of two products of 255 and 64 fit into 16 bits, those of 255 and 127 do not."""
    weights = [
        numpy_helper.to_array(tensor)
        for tensor in quantised[0].initializer
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) == 2
    ]
    assert len(weights) == 4 * DEPTH
    assert {int(np.abs(each.astype(int)).max()) for each in weights} == {64}


def test_the_id_says_how_it_was_quantised(
    tiles: Path, quantised: tuple[onnx.GraphProto, ModelMetadata, Path]
) -> None:
    trained = transformer()
    exact, given = TileModel(trained).digest(), users_tiles(tiles, trained)
    assert quantised[1].model_id == quantised_id(exact, given, linear_only=True)
    assert quantised[1].model_id != quantised_id(exact, given)
