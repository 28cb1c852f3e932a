"""Weights beside an ONNX file: `NAME.onnx` and `NAME.onnx.data`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnx
from onnx.external_data_helper import uses_external_data


def data_file(path: Path) -> Path:
    """Return the path of the weights beside an ONNX file."""
    return path.with_name(f"{path.name}.data")


def rename_data(path: Path, name: str) -> None:
    """Change the name under which an ONNX file refers to the weights beside it, and record their digest.

    The digest is the `checksum` of the format, the SHA-1 of the file of weights.

    Args:
        path: ONNX file, whose weights are in `data_file(path)`.
        name: New name of the file of weights.
    """
    with data_file(path).open("rb") as file:
        checksum = hashlib.file_digest(file, "sha1").hexdigest()
    proto = onnx.load(str(path), load_external_data=False)
    for tensor in filter(uses_external_data, proto.graph.initializer):
        entries = {entry.key: entry.value for entry in tensor.external_data}
        del tensor.external_data[:]
        for key, value in (entries | {"location": name, "checksum": checksum}).items():
            tensor.external_data.add(key=key, value=value)
    onnx.save(proto, str(path))
