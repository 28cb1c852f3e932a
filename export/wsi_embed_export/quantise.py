"""Static int8 quantisation of an ONNX file, calibrated on real tiles."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from wsi_embed.slide import UInt8Array
from wsi_embed_export.beside import data_file
from wsi_embed_export.quiet import quiet

BATCH = 16
# Operators with weights and those between them; pooling and heads stay in floating point.
QUANTISED = ("Conv", "Gemm", "MatMul", "Add", "MaxPool", "Relu", "Clip")
# Of networks with layer norms. The sums along their blocks and their attention have values far apart, for
# which eight bits are too few.
LINEAR = ("Gemm", "MatMul")


def quantise(
    source: Path, tiles: UInt8Array, *, linear_only: bool = False, beside: bool = False
) -> onnx.ModelProto:
    """Quantise the backbone of an exported fp32 ONNX file; normalisation, pooling and cluster head stay fp32.

    Weights become int8 with a scale for each channel, activations uint8 (QDQ), the fast combination on CPUs.

    Args:
        source: ONNX file with one input `tiles` and an output `features`.
        tiles: Tiles that calibrate the ranges of the activations, uint8 [N, tile_px, tile_px, 3].
        linear_only: Whether only inputs and weights of linear layers are quantised, for networks with layer
            norms. The weights get seven bits, because products saturate on processors without VNNI.
        beside: Whether the weights of `source` lie beside it.

    Returns:
        The quantised model.
    """
    with TemporaryDirectory() as folder, quiet():
        prepared, out = Path(folder) / "prepared.onnx", Path(folder) / "quantised.onnx"
        quant_pre_process(
            str(source),
            str(prepared),
            skip_symbolic_shape=True,
            save_as_external_data=beside,
            all_tensors_to_one_file=beside,
            external_data_location=data_file(prepared).name if beside else None,
        )
        graph = onnx.load(str(prepared), load_external_data=False).graph
        preparing = _preparation(graph)
        excluded = _dependents(graph, "features") | {node.name for node in preparing}
        quantize_static(
            str(prepared),
            str(out),
            _Tiles(tiles),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=linear_only,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=list(LINEAR if linear_only else QUANTISED),
            nodes_to_exclude=sorted(excluded | (_without_weights(graph) if linear_only else set())),
            use_external_data_format=beside,
            extra_options={"OpTypesToExcludeOutputQuantization": list(LINEAR)} if linear_only else {},
        )
        proto = onnx.load(str(out))
    _remove_unused_domains(proto)
    if not linear_only:
        _widen(proto.graph, _widths(graph, preparing))
    return proto


def quantised_id(model_id: str, tiles: UInt8Array, *, linear_only: bool = False) -> str:
    """Compute the id of a quantised model from that of the fp32 model and the calibration tiles."""
    kind = "int8 linear" if linear_only else "int8, normalised in float32"
    sha = hashlib.sha256(f"{kind} {model_id} {tiles.shape}".encode())
    sha.update(np.ascontiguousarray(tiles).data)
    return f"sha256:{sha.hexdigest()[:32]}"


class _Tiles(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, tiles: UInt8Array) -> None:
        starts = range(0, len(tiles), BATCH)
        self._batches: Iterator[dict[str, Any]] = ({"tiles": tiles[at : at + BATCH]} for at in starts)

    def get_next(self) -> dict[str, Any] | None:
        """Return the next batch, or None at the end."""
        return next(self._batches, None)


def _remove_unused_domains(proto: onnx.ModelProto) -> None:
    """Remove the operator sets that the quantiser lists but the graph does not use."""
    used = {node.domain for node in proto.graph.node}
    kept = [domain for domain in proto.opset_import if domain.domain in used]
    del proto.opset_import[:]
    proto.opset_import.extend(kept)


def _without_weights(graph: onnx.GraphProto) -> set[str]:
    """Return the names of the nodes whose inputs are all computed, such as the products of attention."""
    weights = {tensor.name for tensor in graph.initializer}
    return {node.name for node in graph.node if not weights & set(node.input)}


def _preparation(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the nodes before the first convolution, which resize and normalise tiles."""
    first = next((at for at, node in enumerate(graph.node) if node.op_type == "Conv"), 0)
    return list(graph.node[:first])


def _widths(graph: onnx.GraphProto, preparing: Sequence[onnx.NodeProto]) -> dict[str, int]:
    """Return the width of the images by constant [1, C, 1, 1] that is used before the first convolution only.

    Constants of images whose width is not known are left out.
    """
    shapes = {
        value.name: [side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in graph.value_info
    }
    constants = {t.name for t in graph.initializer if len(t.dims) == 4 and t.dims[1] == math.prod(t.dims) > 1}
    later = {name for node in graph.node[len(preparing) :] for name in node.input}
    return {
        name: shape[3]
        for node in preparing
        if len(shape := shapes.get(node.output[0], [])) == 4 and shape[3] > 1
        for name in constants.intersection(node.input) - later
    }


def _widen(graph: onnx.GraphProto, widths: Mapping[str, int]) -> None:
    """Repeat constants [1, C, 1, 1] along the width of the images.

    The quantised convolutions take channels last, and so does what comes before them, once ONNX Runtime has
    optimised the graph: an operation with C = 3 numbers in a row takes ten times as long as one with C times
    the width.
    """
    for tensor in graph.initializer:
        if width := widths.get(tensor.name):
            wide = np.repeat(numpy_helper.to_array(tensor), width, axis=3)
            tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
    for value in [value for value in graph.value_info if value.name in widths]:
        graph.value_info.remove(value)


def _dependents(graph: onnx.GraphProto, name: str) -> set[str]:
    """Return the names of the nodes that depend on a tensor."""
    reached, nodes = {name}, set()
    for node in graph.node:  # in topological order
        if reached & set(node.input):
            reached |= set(node.output)
            nodes.add(node.name)
    return nodes
