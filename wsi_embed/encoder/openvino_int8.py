"""Corrections for int8 models in OpenVINO, whose features would be wrong without an error."""

from __future__ import annotations

from collections.abc import Sequence
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


def keep_addends(model: Any) -> None:
    """Change a model so that OpenVINO does not lose what it adds before a quantisation.

    OpenVINO 2026.4 merges the addition of a constant with the quantisation that follows, and then loses the
    constant if the graph also computes shapes. Biases are therefore given as plain constants, which become
    part of their convolution, and other sums, such as the normalisation, are outputs, which are not merged.

    Args:
        model: Model of OpenVINO, which is changed.
    """
    sums = [node for node in model.get_ordered_ops() if node.get_type_name() == "Add"]
    fold_addends(sums)
    for node in sums:
        kinds = {each.get_source_output().get_node().get_type_name() for each in node.inputs()}
        after = [each.get_node().get_type_name() for each in node.output(0).get_target_inputs()]
        if after == ["FakeQuantize"] and "Constant" in kinds and "Convolution" not in kinds:
            model.add_outputs([node.output(0)])


def fold_addends(sums: Sequence[Any]) -> int:
    """Replace addends that are computed from quantised constants by constants, and return their number."""
    from openvino import opset13

    found = 0
    for addend in (each for node in sums for each in node.inputs()):
        source = addend.get_source_output().get_node()
        value = None if source.get_type_name() == "Constant" else _value(source)
        if value is not None and source.get_output_element_type(0).is_real():
            addend.replace_source_output(opset13.constant(value.astype(np.float32)).output(0))
            found += 1
    return found


def _value(node: Any) -> npt.NDArray[Any] | None:
    """Return the value of a node that dequantises a constant; None for any other node."""
    kind = node.get_type_name()
    if kind == "Constant":
        return np.asarray(node.get_data())
    if kind not in ("Convert", "Reshape", "Subtract", "Multiply"):
        return None
    if kind == "Reshape" and node.get_output_partial_shape(0).is_dynamic:
        return None
    count = 1 if kind in ("Convert", "Reshape") else 2
    values = [_value(each.get_source_output().get_node()) for each in node.inputs()[:count]]
    known = [value.astype(np.float64) for value in values if value is not None]
    if len(known) < count:
        return None
    if kind == "Reshape":
        return known[0].reshape(tuple(node.get_output_shape(0)))
    if kind == "Convert":
        return known[0]
    return known[0] - known[1] if kind == "Subtract" else known[0] * known[1]
