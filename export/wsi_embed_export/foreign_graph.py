"""Graph of an ONNX file of another tool, changed into one from raw tiles to features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from wsi_embed_export.trained import Given

# Types of images, by the names of ONNX Runtime.
FLOATS: dict[str, npt.DTypeLike] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
}
TILES, FEATURES = "tiles", "features"
_INTEGER = {"DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"}


@dataclass(frozen=True)
class Selection:
    """Part of the outputs of a model that is its features.

    Attributes:
        output: Name of the output.
        token: Index of the token that is taken; None for an output without tokens.
        mean: Whether the mean of this and all later tokens is taken.
    """

    output: str
    token: int | None = None
    mean: bool = False

    def __str__(self) -> str:
        return self.output if self.token is None else f"{self.output}[{self.token}{':' * self.mean}]"

    def of(self, value: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the features within the value of the output, [B, D].

        Raises:
            IndexError: If there is no such token.
        """
        if self.token is not None:
            if value.ndim != 3 or self.token >= value.shape[1]:
                raise IndexError(self.token)
            return value[:, self.token :].mean(1) if self.mean else value[:, self.token]
        trivial = value.ndim > 2 and all(size == 1 for size in value.shape[2:])
        return value.reshape(value.shape[:2]) if trivial else value


def wrap(
    proto: onnx.ModelProto,
    name: str,
    layout: str,
    tile_px: int,
    given: Given,
    selection: Selection,
    dim: int,
) -> None:
    """Change a model so that it takes raw tiles and returns features.

    Args:
        proto: Model that is changed.
        name: Name of its input.
        layout: Layout of the input, `nchw` or `nhwc`.
        tile_px: Side of a tile, pixels.
        given: Normalisation; none for an input of raw pixels.
        selection: The features within its outputs.
        dim: Number of features.
    """
    graph = proto.graph
    proto.ir_version = max(proto.ir_version, 4)  # before that, constants had to be inputs too
    output = selection.output
    for taken in (TILES, FEATURES):
        _rename(graph, taken, f"foreign.{taken}")
    name, output = (f"foreign.{each}" if each in (TILES, FEATURES) else each for each in (name, output))
    kind = next(each.type.tensor_type.elem_type for each in graph.input if each.name == name)
    nodes, constants = _preprocessing(name, kind, layout, given)
    after, more = _selecting(output, selection, opset(proto))
    kept = [*nodes, *graph.node, *after]
    initializers = {each.name for each in graph.initializer}
    inputs = [each for each in graph.input if each.name in initializers]
    for field in (graph.node, graph.input, graph.output, graph.value_info):
        del field[:]
    graph.node.extend(kept)
    graph.input.extend(
        [helper.make_tensor_value_info(TILES, TensorProto.UINT8, ["batch", tile_px, tile_px, 3]), *inputs]
    )
    graph.output.append(helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["batch", dim]))
    for key, array in (constants | more).items():
        graph.initializer.append(numpy_helper.from_array(array, key))
    for entry in list(proto.metadata_props):
        proto.metadata_props.remove(entry)


def precision_of(graph: onnx.GraphProto) -> str:
    """Return the precision of a graph: `int8`, `fp16` or `fp32`."""
    if any(node.op_type in _INTEGER for node in graph.node):
        return "int8"
    halves = any(each.data_type == TensorProto.FLOAT16 for each in graph.initializer)
    return "fp16" if halves else "fp32"


Part = tuple[list[onnx.NodeProto], dict[str, npt.NDArray[Any]]]


def _preprocessing(name: str, kind: int, layout: str, given: Given) -> Part:
    """Return the nodes from raw tiles to the input of the model."""
    steps: list[tuple[str, list[str], dict[str, Any]]] = []
    constants: dict[str, npt.NDArray[Any]] = {}
    if kind != TensorProto.UINT8:
        mean, std = np.array(given.mean), np.array(given.std)
        constants = {
            "wsi_embed.scale": (1 / (255 * std)).astype(np.float32),
            "wsi_embed.shift": (-mean / std).astype(np.float32),
        }
        steps = [
            ("Cast", [], {"to": TensorProto.FLOAT}),
            ("Mul", ["wsi_embed.scale"], {}),
            ("Add", ["wsi_embed.shift"], {}),
        ]
        if kind != TensorProto.FLOAT:
            steps.append(("Cast", [], {"to": kind}))
    steps.append(("Transpose", [], {"perm": [0, 3, 1, 2]}) if layout == "nchw" else ("Identity", [], {}))
    return _chain(TILES, steps, name, "before"), constants


def _selecting(output: str, selection: Selection, version: int) -> Part:
    """Return the nodes from an output of the model to its features."""
    steps: list[tuple[str, list[str], dict[str, Any]]] = [("Cast", [], {"to": TensorProto.FLOAT})]
    constants: dict[str, npt.NDArray[Any]] = {}
    if selection.token is not None and selection.mean:
        bounds = {"start": selection.token, "end": np.iinfo(np.int64).max, "axis": 1}
        constants = {f"wsi_embed.{key}": np.array([value], np.int64) for key, value in bounds.items()}
        steps.append(("Slice", list(constants), {}))
        if version >= 18:  # before, the axes were an attribute
            steps.append(("ReduceMean", ["wsi_embed.axis"], {"keepdims": 0}))
        else:
            steps.append(("ReduceMean", [], {"axes": [1], "keepdims": 0}))
    elif selection.token is not None:
        constants = {"wsi_embed.token": np.array(selection.token, np.int64)}
        steps.append(("Gather", ["wsi_embed.token"], {"axis": 1}))
    else:
        steps.append(("Flatten", [], {"axis": 1}))
    return _chain(output, steps, FEATURES, "after"), constants


def _chain(
    first: str, steps: list[tuple[str, list[str], dict[str, Any]]], last: str, name: str
) -> list[onnx.NodeProto]:
    """Return nodes of which each takes the result of the one before."""
    values = [first, *(f"wsi_embed.{name}.{n}" for n in range(1, len(steps))), last]
    return [
        helper.make_node(
            kind, [values[n], *more], [values[n + 1]], f"wsi_embed.{name}.{kind}.{n}", **attributes
        )
        for n, (kind, more, attributes) in enumerate(steps)
    ]


def opset(proto: onnx.ModelProto) -> int:
    """Return the version of the standard operators that a model uses."""
    return next((each.version for each in proto.opset_import if each.domain in ("", "ai.onnx")), 1)


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Rename a value of a graph and of the graphs within its nodes."""
    for each in _graphs(graph):
        for value in (*each.input, *each.output, *each.initializer, *each.value_info):
            value.name = new if value.name == old else value.name
        for node in each.node:
            for field in (node.input, node.output):
                field[:] = [new if name == old else name for name in field]


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield a graph, and those within its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node:
                    yield from _graphs(inner)
