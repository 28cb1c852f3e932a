"""The graph of a multiple-instance network in evaluation mode, as ONNX.

The graph is small and written operation by operation: PyTorch's exporter is slow, and what it makes of these
networks cannot be loaded. `write_net` compares the result with PyTorch.
"""

from __future__ import annotations

from typing import Any

import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torchmil.nn.utils import LazyLinear

from wsi_embed.errors import UsageError
from wsi_embed.evaluate.mil.nets import Abmil, BagNet, Clam, Dsmil

OPSET = 18
# Version of the file format that ONNX Runtime reads since 1.17.
IR_VERSION = 9
ACTIVATIONS: dict[type[nn.Module], str] = {nn.ReLU: "Relu", nn.Tanh: "Tanh", nn.Sigmoid: "Sigmoid"}


def onnx_graph(net: BagNet, output: str = "probabilities") -> onnx.ModelProto:
    """Return a network as ONNX.

    Args:
        net: Network; its weights are copied.
        output: Name of the output.

    Returns:
        A model from `features` [tiles, D] to probabilities [classes] or a number [1], and `attention` [tiles,
        1], or [tiles, classes] with separate attention for each class, all float32.

    Raises:
        UsageError: If this kind of network cannot be exported.
    """
    graph = _Graph()
    tiles = graph.add("Sub", "features", graph.weight(net.mean))
    tiles = graph.add("Div", tiles, graph.weight(net.std))
    if isinstance(net, Abmil | Clam):
        outputs, attention = _gated_attention(graph, net, tiles)
    elif isinstance(net, Dsmil):
        outputs, attention = _dual_stream(graph, net, tiles)
    else:
        raise UsageError(f"{type(net).__name__} cannot be exported", remedy="use dsmil, abmil or clam")
    columns = net.classes if isinstance(net, Dsmil) else 1
    if net.classes == 1:
        outputs = graph.add("Mul", outputs, graph.weight(torch.tensor(net.target_std)))
        outputs = graph.add("Add", outputs, graph.weight(torch.tensor(net.target_mean)))
    return graph.model(net, columns, {output: outputs, "attention": attention})


def _gated_attention(graph: _Graph, net: Abmil | Clam, tiles: str) -> tuple[str, str]:
    pool = net.model.pool
    embedded = graph.layers(net.model.feat_ext, tiles)
    hidden = graph.layers(pool.act_layer, graph.layers(pool.fc1, embedded))
    gate = graph.layers(pool.act_gated, graph.layers(pool.fc_gated, embedded))
    scores = graph.layers(pool.fc2, graph.add("Mul", hidden, gate))
    attention = graph.add("Softmax", scores, axis=0)
    bag = graph.add("MatMul", graph.add("Transpose", attention), embedded)  # [1, width]
    logits = graph.layers(net.model.classifier, bag)
    return graph.add("Softmax", logits, axis=1) if net.classes > 1 else logits, attention


def _dual_stream(graph: _Graph, net: Dsmil, tiles: str) -> tuple[str, str]:
    model = net.model
    instances = graph.layers(model.inst_classifier, tiles)  # [tiles, classes]
    queries = graph.layers(model.q_nn, tiles)
    values = graph.layers(model.v_nn, tiles)
    critical = graph.add("Gather", queries, graph.add("ArgMax", instances, axis=0, keepdims=0), axis=0)
    products = graph.add("MatMul", queries, graph.add("Transpose", critical))
    width: int = model.q_nn(torch.zeros(1, net.dim)).shape[1]
    scores = graph.add("Div", products, graph.weight(torch.tensor(width**0.5)))
    attention = graph.add("Softmax", scores, axis=0)
    bags = graph.add("MatMul", graph.add("Transpose", attention), values)  # [classes, D]
    # the convolution over whole representations is a linear layer on all classes at once
    flat = graph.add("Reshape", bags, graph.weight(torch.tensor([1, -1])))
    head = model.bag_classifier
    logits = graph.add("MatMul", flat, graph.weight(head.weight.flatten(1).T))
    streams = [
        graph.add("Add", logits, graph.weight(head.bias)),
        graph.add("ReduceMax", instances, graph.weight(torch.tensor([0])), keepdims=1),
    ]
    if net.classes > 1:
        streams = [graph.add("Sigmoid", stream) for stream in streams]
    both = graph.add("Add", *streams)
    return graph.add("Mul", both, graph.weight(torch.tensor(0.5))), attention


class _Graph:
    """Nodes and weights of a graph in the making; values are referred to by their names."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def add(self, operation: str, *inputs: str, **attributes: Any) -> str:
        """Append an operation, and return the name of its output."""
        name = f"{operation.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operation, list(inputs), [name], **attributes))
        return name

    def weight(self, values: Tensor) -> str:
        """Store a constant, and return its name."""
        name = f"weight_{len(self._weights)}"
        array = values.detach().cpu().contiguous().numpy()
        self._weights.append(numpy_helper.from_array(array, name))
        return name

    def layers(self, module: nn.Module, value: str) -> str:
        """Append a linear layer, an activation, or a sequence of them, and return the name of its output.

        Raises:
            UsageError: If a layer is of another kind.
        """
        if isinstance(module, nn.Sequential):
            for part in module:
                value = self.layers(part, value)
            return value
        if isinstance(module, LazyLinear):
            return self.layers(module.module, value)
        if isinstance(module, nn.Linear):
            value = self.add("MatMul", value, self.weight(module.weight.T))
            return value if module.bias is None else self.add("Add", value, self.weight(module.bias))
        if isinstance(module, nn.Dropout | nn.Identity):
            return value
        if type(module) in ACTIVATIONS:
            return self.add(ACTIVATIONS[type(module)], value)
        raise UsageError(f"a layer {type(module).__name__} cannot be exported")

    def model(self, net: BagNet, columns: int, outputs: dict[str, str]) -> onnx.ModelProto:
        """Return the finished model.

        Args:
            net: The network.
            columns: Number of columns of the attention.
            outputs: Names of values by the names that the outputs get: [1, classes], then the attention.
        """
        (output, value), (attention, paid) = outputs.items()
        row = self.weight(torch.tensor([0]))
        self._nodes.append(helper.make_node("Squeeze", [value, row], [output]))
        self._nodes.append(helper.make_node("Identity", [paid], [attention]))
        kind = TensorProto.FLOAT
        inputs = [helper.make_tensor_value_info("features", kind, ["tiles", net.dim])]
        infos = [
            helper.make_tensor_value_info(output, kind, [net.classes]),
            helper.make_tensor_value_info(attention, kind, ["tiles", columns]),
        ]
        graph = helper.make_graph(self._nodes, "mil", inputs, infos, self._weights)
        opset = helper.make_operatorsetid("", OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return model
