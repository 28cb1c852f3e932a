"""Corrections for int8 models in OpenVINO, whose features would be wrong without an error."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_embed.util.cpu import has_vnni


def int8_settings() -> dict[str, str]:
    """Return the settings with which OpenVINO computes int8 models on this processor without saturation.

    Without VNNI, the sums of uint8 x int8 products saturate at 16 bits. The values are then computed in
    single precision, with the same steps of quantisation.
    """
    return {} if has_vnni() else {"LP_TRANSFORMS_MODE": "NO"}


def fold_biases(model: Any) -> int:
    """Replace biases that a model computes from 32-bit integers by constants, and return their number.

    The shape of such a bias is computed from that of the activations to which it is added. OpenVINO 2026.4
    loses some of them if the graph also computes other shapes.

    Args:
        model: Model of OpenVINO, which is changed.
    """
    from openvino import opset13

    found = 0
    for node in model.get_ordered_ops():
        value = _bias(node)
        if value is not None:
            constant = opset13.constant(value).output(0)
            for target in node.output(0).get_target_inputs():
                target.replace_source_output(constant)
            found += 1
    return found


def _bias(node: Any) -> npt.NDArray[np.float32] | None:
    """Return the value of a dequantised bias in the shape of the activations; None for any other node."""
    if node.get_type_name() != "Reshape" or node.get_output_partial_shape(0).is_dynamic:
        return None
    product = node.input(0).get_source_output().get_node()
    value = _dequantised(product) if product.get_type_name() == "Multiply" else None
    return None if value is None else value.reshape(tuple(node.get_output_shape(0)))


def _dequantised(node: Any) -> npt.NDArray[np.float32] | None:
    """Return the value of constant 32-bit integers times their scale; None for any other product."""
    values = [_constant(each.get_source_output().get_node()) for each in node.inputs()]
    known = [value for value in values if value is not None]
    if len(known) < len(values) or not any(value.dtype == np.int32 for value in known):
        return None
    first, second = (value.astype(np.float64) for value in known)
    return np.asarray(first * second, np.float32)


def _constant(node: Any) -> npt.NDArray[Any] | None:
    """Return the value of a constant, through changes of type and shape and the subtraction of zero."""
    kind, inputs = node.get_type_name(), [each.get_source_output().get_node() for each in node.inputs()]
    if kind == "Constant":
        return np.asarray(node.get_data())
    if kind in ("Convert", "Reshape"):
        return _constant(inputs[0])
    if kind == "Subtract":
        value, zero = (_constant(each) for each in inputs)
        return value if value is not None and zero is not None and not zero.any() else None
    return None
