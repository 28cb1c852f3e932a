"""External weight files of an ONNX file: their names, whether they may be read, and whether they are its own.

An ONNX file names these files itself, so that a malicious one could name any file of the machine.
"""

from __future__ import annotations

import functools
import hashlib
import mmap
from collections.abc import Iterator
from pathlib import Path

from wsi_embed.encoder.content import check_content
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
}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def external_files(path: Path) -> list[str]:
    """Return the names of the files that hold the weights of an ONNX file, sorted and without duplicates.

    Raises:
        ModelError: If the file is not an ONNX file, or names a file that is missing or outside its folder.
    """
    return sorted(_checksums(path))


def check_external_files(path: Path) -> None:
    """Check that the files with the weights of an ONNX file are those that it was saved with.

    Only files of which it has a checksum are compared. They are read once in a process.

    Raises:
        ModelError: If one is missing, is outside the folder, or has another checksum.
    """
    for name, checksum in _checksums(path).items():
        file = path.parent / name
        about = file.stat()
        if checksum and _sha1(str(file), about.st_size, about.st_mtime_ns) != checksum:
            raise ModelError(
                f"the weights beside it, {name}, are damaged or of another model",
                where=path,
                remedy="copy both files again, or export the model again",
            )


@functools.lru_cache(maxsize=64)
def _sha1(file: str, size: int, modified: int) -> str:
    """Return the SHA-1 of a file; size and time of modification are part of the key of the cache."""
    with Path(file).open("rb") as content:
        return hashlib.file_digest(content, "sha1").hexdigest()


def _checksums(path: Path) -> dict[str, str]:
    """Return the names of the files with the weights of an ONNX file, each with its checksum or ""."""
    check_content(path)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            found = dict(sorted(set(_located(content, 0, len(content), _MODEL))))
        except (IndexError, ValueError) as error:
            raise ModelError(f"not a model that can be loaded ({error})", where=path) from error
    folder = path.parent.resolve()
    for name in found:
        if Path(name).is_absolute() or not (path.parent / name).resolve().is_relative_to(folder):
            raise ModelError(
                f"names {name!r} as a file of its weights, which lies outside its folder; such a file "
                "is not read",
                where=path,
                remedy="if you trust it, save the model as one file",
            )
        if not (path.parent / name).is_file():
            raise ModelError(
                f"its weights, {name!r}, are not beside it", where=path, remedy="keep both in one folder"
            )
    return found


def _located(content: mmap.mmap, at: int, end: int, kind: int) -> Iterator[tuple[str, str]]:
    """Yield location and checksum of the external data of all tensors below a message."""
    entries: list[tuple[bytes, bytes]] = []
    for number, start, stop in _messages(content, at, end):
        below = _BELOW[kind].get(number)
        if below == _ENTRY:
            fields = {field: content[a:b] for field, a, b in _messages(content, start, stop)}
            entries.append((fields.get(1, b""), fields.get(2, b"")))
        elif below is not None:
            yield from _located(content, start, stop, below)
    checksum = dict(entries).get(b"checksum", b"").decode("utf-8")
    yield from ((value.decode("utf-8"), checksum) for key, value in entries if key == b"location")


def _messages(content: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and end of the fields of a message that have a length: messages and texts."""
    while at < end:
        tag, at = _varint(content, at)
        number, wire = tag >> 3, tag & 7
        if wire != _BYTES:
            at = _skip(content, at, wire)
            continue
        size, at = _varint(content, at)
        if at + size > end:
            raise ValueError("a message ends too early")
        yield number, at, at + size
        at += size


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
