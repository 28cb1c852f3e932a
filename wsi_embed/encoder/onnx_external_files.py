"""External weight files of an ONNX file: their names, and whether they may be read.

An ONNX file names these files itself, so that a malicious one could name any file of the machine.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from wsi_embed.errors import ModelError

# Field numbers (onnx.proto3) that lead from a model to the file names, by kind of message.
_MODEL, _GRAPH, _NODE, _ATTRIBUTE, _TENSOR, _SPARSE, _FUNCTION, _ENTRY = range(8)
_BELOW: dict[int, dict[int, int]] = {
    _MODEL: {7: _GRAPH, 25: _FUNCTION},
    _GRAPH: {1: _NODE, 5: _TENSOR, 15: _SPARSE},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    _SPARSE: {1: _TENSOR, 2: _TENSOR},
    _FUNCTION: {7: _NODE, 11: _ATTRIBUTE},
    _TENSOR: {13: _ENTRY},
    _ENTRY: {},
}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def external_files(path: Path) -> list[str]:
    """Return the names of the files that hold the weights of an ONNX file, sorted and without duplicates.

    Raises:
        ModelError: If the file is not an ONNX file, or names a file outside its own folder.
    """
    if path.stat().st_size == 0:
        raise ModelError("not a model that can be loaded (it is empty)", where=path)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            names = sorted(set(_locations(content, 0, len(content), _MODEL)))
        except (IndexError, ValueError) as error:
            raise ModelError(f"not a model that can be loaded ({error})", where=path) from error
    folder = path.parent.resolve()
    for name in names:
        if Path(name).is_absolute() or not (path.parent / name).resolve().is_relative_to(folder):
            raise ModelError(
                f"names {name!r} as a file of its weights, which lies outside its folder; such a file "
                "is not read",
                where=path,
                remedy="if you trust it, save the model as one file",
            )
    return names


def _locations(content: mmap.mmap, at: int, end: int, kind: int) -> Iterator[str]:
    """Yield the value of `location` in the external data of all tensors below a message."""
    fields: dict[int, bytes] = {}
    while at < end:
        tag, at = _varint(content, at)
        number, wire = tag >> 3, tag & 7
        if wire != _BYTES:
            at = _skip(content, at, wire)
            continue
        size, at = _varint(content, at)
        if at + size > end:
            raise ValueError("a message ends too early")
        if number in _BELOW[kind]:
            yield from _locations(content, at, at + size, _BELOW[kind][number])
        elif kind == _ENTRY:
            fields[number] = content[at : at + size]
        at += size
    if fields.get(1) == b"location":
        yield fields.get(2, b"").decode("utf-8")


def _skip(content: mmap.mmap, at: int, wire: int) -> int:
    if wire == _VARINT:
        return _varint(content, at)[1]
    if wire in (_FIXED64, _FIXED32):
        return at + (8 if wire == _FIXED64 else 4)
    raise ValueError(f"wire type {wire}")


def _varint(content: mmap.mmap, at: int) -> tuple[int, int]:
    """Decode a variable-length integer; return it and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
    raise ValueError("a number of more than 64 bits")
