"""Static int8 quantisation of an ONNX file, calibrated on real tiles."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from wsi_embed.slide import UInt8Array
from wsi_embed_export.quiet import quiet

BATCH = 16
# Operators with weights and those between them; pooling and heads stay in floating point.
QUANTISED = ("Conv", "Gemm", "MatMul", "Add", "MaxPool", "Relu", "Clip")


def quantise(source: Path, out: Path, tiles: UInt8Array) -> None:
    """Quantise the backbone of an exported fp32 ONNX file; the cluster head and pooling stay fp32.

    Weights become int8 with a scale for each channel, activations uint8 (QDQ), the fast combination on CPUs.

    Args:
        source: ONNX file with one input `tiles` and an output `features`.
        out: File to write.
        tiles: Tiles that calibrate the ranges of the activations, uint8 [N, tile_px, tile_px, 3].
    """
    with TemporaryDirectory() as folder, quiet():
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        graph = onnx.load(str(prepared)).graph
        quantize_static(
            str(prepared),
            str(out),
            _Tiles(tiles),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=list(QUANTISED),
            nodes_to_exclude=sorted(_dependents(graph, "features") | _of_resizing(graph)),
        )
        _remove_unused_domains(out)


def quantised_id(model_id: str, tiles: UInt8Array) -> str:
    """Compute the id of a quantised model from that of the fp32 model and the calibration tiles."""
    sha = hashlib.sha256(f"int8 {model_id} {tiles.shape}".encode())
    sha.update(np.ascontiguousarray(tiles).data)
    return f"sha256:{sha.hexdigest()[:32]}"


class _Tiles(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, tiles: UInt8Array) -> None:
        starts = range(0, len(tiles), BATCH)
        self._batches: Iterator[dict[str, Any]] = ({"tiles": tiles[at : at + BATCH]} for at in starts)

    def get_next(self) -> dict[str, Any] | None:
        """Return the next batch, or None at the end."""
        return next(self._batches, None)


def _remove_unused_domains(path: Path) -> None:
    """Remove the operator sets that the quantiser lists but the graph does not use."""
    proto = onnx.load(str(path))
    used = {node.domain for node in proto.graph.node}
    kept = [domain for domain in proto.opset_import if domain.domain in used]
    del proto.opset_import[:]
    proto.opset_import.extend(kept)
    onnx.save(proto, str(path))


def _of_resizing(graph: onnx.GraphProto) -> set[str]:
    """Return the names of the nodes that resize tiles: those up to the last rounding to whole pixels."""
    first = next((at for at, node in enumerate(graph.node) if node.op_type == "Conv"), 0)
    rounding = [at for at, node in enumerate(graph.node[:first]) if node.op_type == "Floor"]
    return {node.name for node in graph.node[: rounding[-1]]} if rounding else set()


def _dependents(graph: onnx.GraphProto, name: str) -> set[str]:
    """Return the names of the nodes that depend on a tensor."""
    reached, nodes = {name}, set()
    for node in graph.node:  # in topological order
        if reached & set(node.input):
            reached |= set(node.output)
            nodes.add(node.name)
    return nodes
