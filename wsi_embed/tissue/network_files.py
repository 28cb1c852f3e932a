"""Files of a segmentation network: the ONNX file, and those of its weights that it names."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from wsi_embed.encoder.onnx_external_files import external_files
from wsi_embed.errors import ModelError
from wsi_embed.util.text import argument

# Modification time in ns, and size in bytes.
State = tuple[int, int]


def network_digest(path: Path) -> str:
    """Return the first 16 digits of the SHA-256 of a network's files.

    Raises:
        ModelError: If a file cannot be read, or the network names a file outside its folder.
    """
    digest = hashlib.sha256()
    for file in (path, *_weights(path)):
        try:
            digest.update(file.read_bytes())
        except OSError as error:
            raise _unreadable(path, file, error) from error
    return digest.hexdigest()[:16]


def network_states(path: Path) -> tuple[State, ...]:
    """Return the states of a network's files, to detect changes.

    Raises:
        ModelError: If a file is missing, or the network names a file outside its folder.
    """
    state = _state(path, path)
    return (state, *(_state(path, file) for file in _weights_of(path, state)))


def _weights(path: Path) -> list[Path]:
    try:
        return [path.parent / name for name in external_files(path)]
    except OSError as error:
        raise _unreadable(path, path, error) from error
    except ModelError as error:
        raise error.replace(where=path.name) from error


@functools.lru_cache(maxsize=2)
def _weights_of(path: Path, state: State) -> list[Path]:
    return _weights(path)


def _state(path: Path, file: Path) -> State:
    try:
        stat = file.stat()
    except OSError as error:
        raise _unreadable(path, file, error) from error
    return stat.st_mtime_ns, stat.st_size


def _unreadable(path: Path, file: Path, error: OSError) -> ModelError:
    missing = isinstance(error, FileNotFoundError)
    what = "no such file" if missing and file == path else f"cannot be read ({error.strerror})"
    return ModelError(
        what if file == path else f"its weights {file.name} {what}",
        where=argument("tissue", f"model:{path}"),
        remedy="check the path",
    )
