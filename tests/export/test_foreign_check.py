"""Foreign ONNX files whose outputs are no features of each tile by itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from wsi_embed import load_encoder
from wsi_embed.errors import UsageError
from wsi_embed_export import Given, wrap_onnx
from wsi_embed_export.foreign_check import check_features, check_no_classes

GIVEN = Given(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), mpp=0.5)
KERNEL = np.random.default_rng(0).normal(size=(8, 3, 4, 4)).astype(np.float32)
node = helper.make_node


def made(path: Path, further: Sequence[NodeProto], constants: dict[str, Any], **options: Any) -> Path:
    """A network of one convolution whose features `of` go through further nodes, and become `out`."""
    nodes = [
        node("Conv", ["images", "kernel"], ["map"], strides=[4, 4]),
        node("GlobalAveragePool", ["map"], ["pooled"]),
        node("Flatten", ["pooled"], ["of"]),
        *further,
    ]
    value = helper.make_tensor_value_info
    constants = {"kernel": KERNEL, **constants}
    graph = helper.make_graph(
        nodes, "foreign",
        [value("images", TensorProto.FLOAT, ["n", 3, 16, 16]), *options.pop("inputs", ())],
        [value("out", TensorProto.FLOAT, ["n", 8]), *options.pop("outputs", ())],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )  # fmt: skip
    opset = [helper.make_opsetid("", options.pop("opset", 17))]
    onnx.save(helper.make_model(graph, opset_imports=opset, **{"ir_version": 8, **options}), str(path))
    return path


DROPOUT = {"share": np.float32(0.5), "training": np.array(True)}
NORM = {name: np.full(8, value, np.float32) for name, value in {"s": 1, "b": 0, "m": 0, "v": 1}.items()}


@pytest.mark.parametrize(
    ("further", "constants", "message"),
    [
        ([node("Dropout", ["of", "share", "training"], ["out"])], DROPOUT, "other features in every run"),
        ([node("RandomNormalLike", ["of"], ["out"])], {}, "other features in every run"),
        (
            [
                node("BatchNormalization", ["of", *NORM], ["out", "mean", "var"], training_mode=1),
            ],
            NORM,
            "depend on the other tiles of its batch",
        ),
        ([node("Softmax", ["of"], ["out"], axis=0)], {}, "depend on the other tiles of its batch"),
        ([node("Mul", ["of", "zero"], ["out"])], {"zero": np.float32(0)}, "the same features for all tiles"),
        ([node("Div", ["of", "zero"], ["out"])], {"zero": np.float32(0)}, "features that are not finite"),
    ],
)
def test_outputs_that_are_no_features_are_refused(
    further: list[NodeProto], constants: dict[str, Any], message: str, tmp_path: Path
) -> None:
    source = made(tmp_path / "foreign.onnx", further, constants)
    with pytest.raises(UsageError, match=rf"foreign\.onnx: .*{message}"):
        wrap_onnx(source, tmp_path / "ours.onnx", given=GIVEN)
    assert not (tmp_path / "ours.onnx").exists()


def test_a_sequence_beside_the_features_is_no_obstacle(tmp_path: Path) -> None:
    """As converters of scikit-learn add."""
    further = [node("Identity", ["of"], ["out"]), node("SequenceConstruct", ["of"], ["all"])]
    sequence = helper.make_tensor_sequence_value_info("all", TensorProto.FLOAT, None)
    source = made(tmp_path / "foreign.onnx", further, {}, outputs=[sequence])
    assert wrap_onnx(source, tmp_path / "ours.onnx", given=GIVEN).feature_dim == 8


def test_constants_of_old_files_are_inputs_too(tmp_path: Path) -> None:
    kernel = helper.make_tensor_value_info("kernel", TensorProto.FLOAT, KERNEL.shape)
    further = [node("Identity", ["of"], ["out"])]
    old = made(tmp_path / "old.onnx", further, {}, inputs=[kernel], ir_version=3, opset=11)
    new = made(tmp_path / "new.onnx", further, {})
    tiles = np.random.default_rng(1).integers(0, 256, (5, 16, 16, 3), np.uint8)
    found = []
    for source in (old, new):
        wrap_onnx(source, tmp_path / "ours.onnx", given=GIVEN)
        found.append(load_encoder(tmp_path / "ours.onnx", device="cpu").encode(tiles).features)
        (tmp_path / "ours.onnx").unlink()
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4)


def test_small_differences_between_batch_sizes_are_usual() -> None:
    rng = np.random.default_rng(0)
    check_features("x", lambda tiles: tiles.mean((1, 2)) * (1 + 1e-4 * rng.random()), 32, None)


@pytest.mark.parametrize(
    ("output", "dim", "classes"),
    [("output", 1000, True), ("Probabilities", 8, True), ("logits", 9, True), ("feats", 1024, False)],
)
def test_scores_of_classes_are_known_by_name_or_number(output: str, dim: int, classes: bool) -> None:
    if not classes:
        check_no_classes("x.onnx", output, [2, dim])
        return
    with pytest.raises(UsageError, match=rf"{output} \[2, {dim}\] seems to hold the scores"):
        check_no_classes("x.onnx", output, [2, dim])
