"""Small models for the tests, made with onnx.helper: real ONNX files without PyTorch.

A tile is cut into four quadrants; their RGB sums (12 whole numbers) are weighted by small whole
numbers. All of it is integer arithmetic, so a tile's features are the same bits in every batch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from wsi_embed.encoder.metadata import KEY, ModelMetadata

if TYPE_CHECKING:
    from wsi_embed_train.config import TrainConfig

QUADRANTS = 12  # 2 x 2 quadrants, 3 channels
OVERFLOW = 1e5  # beyond float16's 65504
# A ResNet of 0.4 million weights, made for tests, and its features; ResNet-18 has thirty times as many.
TINY_BACKBONE, TINY_DIM = "timm/test_resnet", 96


def tiny_onnx(
    path: Path,
    *,
    tile_px: int = 32,
    dim: int = 8,
    clusters: int | None = 4,
    mpp: float | None = 0.5,
    metadata: bool = True,
    input_type: Literal["uint8", "float32"] = "uint8",
    bad: Literal["nan", "overflow", "memory", "never"] | None = None,
    seed: int = 0,
    changes: dict[str, Any] | None = None,
) -> Path:
    """Write a model that follows the contract, or breaks one rule of it.

    Args:
        path: The `.onnx` file to write.
        tile_px: Side of a tile; even.
        dim: Numbers a tile.
        clusters: Outputs of the cluster head; None for a model without one.
        mpp: What the metadata say; None leaves it open.
        metadata: False makes a foreign file.
        input_type: `float32` breaks the contract.
        bad: `nan`: features of every tile that is not pure white are NaN (a white one is what
            `load_encoder` tries). `overflow`: features beyond float16, finite in float32. `memory`:
            two tiles or more at once want 256 TiB. `never`: one tile that is not white does.
        seed: Of the weights; another seed is another model with another `model_id`.
        changes: Values that replace those of the metadata document.

    Returns:
        `path`.
    """
    kind = TensorProto.UINT8 if input_type == "uint8" else TensorProto.FLOAT
    outputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", dim])]
    nodes, constants = _features(tile_px, dim, seed, bad)
    if clusters is not None:
        nodes += _cluster_head(constants, tile_px, clusters, seed)
        outputs += [
            helper.make_tensor_value_info("cluster", TensorProto.INT64, ["batch"]),
            helper.make_tensor_value_info("cluster_confidence", TensorProto.FLOAT, ["batch"]),
        ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("tiles", kind, ["batch", tile_px, tile_px, 3])],
        outputs,
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    if metadata:
        about = made_metadata(tile_px=tile_px, dim=dim, clusters=clusters, mpp=mpp, seed=seed, bad=bad)
        document = json.loads(about.to_json()) | (changes or {})
        helper.set_model_props(model, {KEY: json.dumps(document)})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))
    return path


def made_metadata(
    *,
    tile_px: int = 32,
    dim: int = 8,
    clusters: int | None = 4,
    mpp: float | None = 0.5,
    seed: int = 0,
    bad: str | None = None,
) -> ModelMetadata:
    """The metadata of `tiny_onnx`."""
    return ModelMetadata(
        name="tiny",
        method="made",
        backbone="quadrants",
        tile_px=tile_px,
        mpp=mpp,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        feature_dim=dim,
        clusters=clusters,
        precision="fp32",
        model_id=f"made:{tile_px}-{dim}-{clusters}-{seed}-{bad}",
        training={"source": "none"},
        created="2026-01-01",
    )


def tiny_features(tiles: npt.NDArray[np.uint8], dim: int = 8, seed: int = 0) -> npt.NDArray[np.float32]:
    """What `tiny_onnx` must say of tiles [B, tile_px, tile_px, 3], by NumPy."""
    weighted = quadrant_sums(tiles) @ quadrant_weights(seed, dim)
    return weighted.astype(np.float32) * pixel_scale(tiles.shape[1])


def tiny_clusters(tiles: npt.NDArray[np.uint8], clusters: int = 4, seed: int = 0) -> npt.NDArray[np.int64]:
    """The clusters `tiny_onnx` must give to tiles, by NumPy."""
    weighted = quadrant_sums(tiles) @ cluster_weights(seed, clusters)
    return np.asarray(weighted.argmax(1), np.int64)


def quadrant_sums(tiles: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    batch, half = len(tiles), tiles.shape[1] // 2
    parts = tiles.astype(np.int32).reshape(batch, 2, half, 2, half, 3)
    return np.asarray(parts.sum((2, 4), dtype=np.int32).reshape(batch, QUADRANTS))


def quadrant_weights(seed: int, outputs: int) -> npt.NDArray[np.int32]:
    return np.random.default_rng(seed).integers(-3, 4, (QUADRANTS, outputs), np.int32)


def cluster_weights(seed: int, clusters: int) -> npt.NDArray[np.int32]:
    """Sums to zero for every cluster, so that structure decides and not brightness."""
    values = np.repeat(np.array([[-3, -2, -1, 1, 2, 3] * 2], np.int32), clusters, 0)
    return np.random.default_rng(seed).permuted(values, axis=1).T


def pixel_scale(tile_px: int) -> np.float32:
    return np.float32(1 / (255 * (tile_px // 2) ** 2))


def _features(
    tile_px: int, dim: int, seed: int, bad: str | None
) -> tuple[list[onnx.NodeProto], dict[str, npt.NDArray[Any]]]:
    half = tile_px // 2
    constants: dict[str, npt.NDArray[Any]] = {
        "rows": np.array([0, 2, half, tile_px * 3], np.int64),
        "columns": np.array([0, 4, half, 3], np.int64),
        "long": np.array([0, QUADRANTS, 1], np.int64),
        "axis1": np.array([1], np.int64),
        "axis2": np.array([2], np.int64),
        "weights": quadrant_weights(seed, dim)[np.newaxis],
        "scale": np.array(pixel_scale(tile_px)),
    }
    node = helper.make_node
    nodes = [
        node("Cast", ["tiles"], ["whole"], to=TensorProto.INT32),
        node("Reshape", ["whole", "rows"], ["by_rows"]),
        node("ReduceSum", ["by_rows", "axis2"], ["row_sums"], keepdims=0),
        node("Reshape", ["row_sums", "columns"], ["by_columns"]),
        node("ReduceSum", ["by_columns", "axis2"], ["sums"], keepdims=0),
        node("Reshape", ["sums", "long"], ["quadrants"]),
        node("Mul", ["quadrants", "weights"], ["products"]),
        node("ReduceSum", ["products", "axis1"], ["weighted"], keepdims=0),
        node("Cast", ["weighted"], ["weighted_float"], to=TensorProto.FLOAT),
    ]
    if bad is None:
        return [*nodes, node("Mul", ["weighted_float", "scale"], ["features"])], constants
    nodes.append(node("Mul", ["weighted_float", "scale"], ["good"]))
    if bad == "overflow":
        constants["offset"] = np.array(OVERFLOW, np.float32)
        return [*nodes, node("Add", ["good", "offset"], ["features"])], constants
    if bad == "memory":
        return [*nodes, *_memory_hog(constants)], constants
    constants["white"] = np.array(255 * tile_px * tile_px * 3, np.int32)
    if bad == "never":
        nodes += [
            node("ReduceSum", ["quadrants", "axis1"], ["brightness"], keepdims=0),
            node("Less", ["brightness", "white"], ["is_dark"]),
            node("Cast", ["is_dark"], ["dark"], to=TensorProto.INT64),
            node("ReduceSum", ["dark"], ["dark_tiles"], keepdims=0),
            node("Reshape", ["dark_tiles", "one"], ["beyond"]),
        ]
        return [*nodes, *_memory_hog(constants)[2:]], constants
    constants["nan"] = np.array(np.nan, np.float32)
    nodes += [
        node("ReduceSum", ["quadrants", "axis1"], ["brightness"], keepdims=0),
        node("Equal", ["brightness", "white"], ["is_white"]),
        node("Where", ["is_white", "good", "nan"], ["features"]),
    ]
    return nodes, constants


def _memory_hog(constants: dict[str, npt.NDArray[Any]]) -> list[onnx.NodeProto]:
    """Adds the sum of 2^46 zeros for every tile beyond the first."""
    constants |= {"one": np.array([1], np.int64), "many": np.array([2**46], np.int64)}
    node = helper.make_node
    return [
        node("Shape", ["tiles"], ["batch_size"], start=0, end=1),
        node("Sub", ["batch_size", "one"], ["beyond"]),
        node("Mul", ["beyond", "many"], ["wanted"]),
        node("ConstantOfShape", ["wanted"], ["zeros"]),
        node("ReduceSum", ["zeros"], ["nothing"], keepdims=0),
        node("Add", ["good", "nothing"], ["features"]),
    ]


def _cluster_head(
    constants: dict[str, npt.NDArray[Any]], tile_px: int, clusters: int, seed: int
) -> list[onnx.NodeProto]:
    constants["cluster_weights"] = cluster_weights(seed, clusters)[np.newaxis]
    node = helper.make_node
    return [
        node("Mul", ["quadrants", "cluster_weights"], ["cluster_products"]),
        node("ReduceSum", ["cluster_products", "axis1"], ["votes"], keepdims=0),
        node("ArgMax", ["votes"], ["cluster"], axis=1, keepdims=0),
        node("Cast", ["votes"], ["votes_float"], to=TensorProto.FLOAT),
        node("Mul", ["votes_float", "scale"], ["logits"]),
        node("Softmax", ["logits"], ["probabilities"], axis=1),
        node("ReduceMax", ["probabilities", "axis1"], ["cluster_confidence"], keepdims=0),
    ]


def tiny_tiles(folder: Path, count: int = 16, tile_px: int = 32, seed: int = 0) -> Path:
    """Fill a folder with PNG tiles of soft colours, each another; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for number in range(count):
        coarse = rng.integers(0, 256, (4, 4, 3), np.uint8)
        Image.fromarray(coarse).resize((tile_px, tile_px), Image.Resampling.BICUBIC).save(
            folder / f"tile_{number:02d}.png"
        )
    return folder


def tiny_config(recipe: str = "clubyol", /, **overrides: Any) -> TrainConfig:
    """A shipped recipe with a network and epochs small enough for a test; needs PyTorch and timm."""
    from wsi_embed_train.methods import method_settings
    from wsi_embed_train.recipe import load_recipe

    small: dict[str, Any] = {
        "backbone": TINY_BACKBONE,
        "tile_px": 32,
        "epochs": 2,
        "warmup_epochs": 0,
        "batch_size": 8,
        "workers": 0,
        "devices": "cpu",
    }
    of_methods = {
        "feat_size": 16, "projector_hidden": 32, "predictor_hidden": 32, "clusters": 5, "prototypes": 6,
        "queue": 16, "concepts": [2, 4], "local_crops": 2, "local_px": 16,
    }  # fmt: skip
    used = method_settings(load_recipe(recipe).method)
    small |= {name: value for name, value in of_methods.items() if name in used}
    return load_recipe(recipe, **(small | overrides))
