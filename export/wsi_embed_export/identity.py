"""The `model_id` of an exported model: a digest of what it computes."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from wsi_embed_export.quiet import quiet

# Trailing arguments that choose an implementation and follow the settings of the process.
_FLAGS = {"aten::_convolution": 4, "aten::batch_norm": 1}
# Operations that return their input in evaluation mode.
_IDENTITIES = ("aten::dropout", "aten::feature_dropout", "aten::alpha_dropout")


def model_digest(model: nn.Module, tile_px: int, about: Mapping[str, Any]) -> str:
    """Compute the `model_id`, a digest of weights, graph, preprocessing, outputs and precision.

    The graph is recorded by tracing, so that the same weights with another pooling or another number of
    attention heads are another model. Another version of PyTorch or timm may record other operations, and
    then the id differs for the same model.

    Args:
        model: Model of tiles in evaluation mode.
        tile_px: Side of a tile, pixels.
        about: Further values that tell models apart, for JSON.
    """
    sha = hashlib.sha256()
    sha.update(json.dumps({"tile_px": tile_px, **about}, sort_keys=True).encode())
    state = model.state_dict()
    for name, tensor in sorted(state.items()):
        sha.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        sha.update(tensor.reshape(-1).numpy())
    for name, tensor in sorted(model.named_buffers()):
        if name not in state:
            sha.update(f"{name} {_summary(tensor)}".encode())
    example = torch.zeros(2, tile_px, tile_px, 3, dtype=torch.uint8)
    for operation in operations(model, example):
        sha.update(f"\n{operation}".encode())
    return f"sha256:{sha.hexdigest()[:32]}"


def operations(model: nn.Module, example: Tensor) -> Iterator[str]:
    """Yield one line for each operation of a model, without names and places of the source code.

    Args:
        model: Model in evaluation mode.
        example: Input of the model.
    """
    with quiet(), torch.inference_mode():
        traced = torch.jit.trace(model, (example,), check_trace=False)  # type: ignore[no-untyped-call]
    graph = traced.inlined_graph
    module, tiles = graph.inputs()
    known = {module.debugName(): "", tiles.debugName(): "tiles"}
    yield from _block(graph, known, itertools.count())


def _block(block: Any, known: dict[str, str], numbers: Iterator[int]) -> Iterator[str]:
    """Yield the operations of a graph, or of a branch of one; `known` describes the values so far."""
    for node in block.nodes():
        kind, outputs = node.kind(), [value.debugName() for value in node.outputs()]
        given = [known[value.debugName()] for value in node.inputs()]
        if kind == "prim::Constant":
            known[outputs[0]] = _constant(node.output().toIValue())
        elif kind == "prim::GetAttr":
            known[outputs[0]] = f"{given[0]}.{node.s('name')}"
        elif kind in _IDENTITIES:
            known[outputs[0]] = given[0]
        else:
            given = given[: len(given) - _FLAGS.get(kind, 0)]
            known.update((name, f"%{next(numbers)}") for name in outputs)
            yield f"{[known[name] for name in outputs]} = {kind}({', '.join(given)})"
            for inner in node.blocks():
                known.update((value.debugName(), f"%{next(numbers)}") for value in inner.inputs())
                yield from _block(inner, known, numbers)
    yield f"return {[known[value.debugName()] for value in block.outputs()]}"


def _constant(value: Any) -> str:
    return _summary(value) if isinstance(value, Tensor) else repr(value)


def _summary(tensor: Tensor) -> str:
    """Describe a tensor that was computed and not loaded: processors differ in the last digits of floats."""
    shape = f"{tensor.dtype} {list(tensor.shape)}"
    if not tensor.is_floating_point():
        return f"{shape} {hashlib.sha256(tensor.numpy().tobytes()).hexdigest()}"
    values = tensor.double().reshape(-1)
    sloped = values * torch.linspace(0, 1, len(values), dtype=torch.float64)
    return f"{shape} {values.mean():.3g} {values.std(correction=0):.3g} {sloped.mean():.3g}"
