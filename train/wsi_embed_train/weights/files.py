"""Reading of weight files without running code from them."""

from __future__ import annotations

import argparse
import hashlib
import json
import pickle
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wsi_embed.errors import UsageError
from wsi_embed.util.text import names_of

# Keys under which training codes store a state dict, outermost first. Averaged weights come before others,
# as in timm.
_WRAPPERS = (
    "state_dict_ema",
    "model_ema",
    "state_dict",
    "model_state_dict",
    "model",
    "teacher",
    "net",
    "network",
)


_DEEPEST = 8
_ZIP, _COMPRESSED = b"PK", (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")


def load_tensors(path: Path) -> dict[str, Any]:
    """Load a checkpoint of tensors, numbers and text in dictionaries.

    Raises:
        UsageError: If it is damaged, or contains other pickled objects, whose loading would run code.
    """
    if path.name.endswith(".index.json"):
        return _of_several_files(path)
    start = _beginning(path)
    if start[8:9] == b"{" or (path.suffix == ".safetensors" and not start.startswith(_ZIP)):
        return _safetensors(path)
    try:
        # DINO, MAE and others store their arguments in a namespace, which holds values only
        with torch.serialization.safe_globals([argparse.Namespace]), path.open("rb") as file:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = next((f" ({line.strip()})" for line in str(error).splitlines() if "GLOBAL" in line), "")
        raise UsageError(
            f"cannot be read as plain weights, and loading more would run code from the file{reason}",
            where=path.name,
            remedy="save its state dict alone: torch.save(model.state_dict(), FILE)",
        ) from error
    except Exception as error:  # zip, tar, end of file: torch has an error for each
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"not a checkpoint that PyTorch can read ({reason})", where=path.name) from error
    if not isinstance(content, Mapping):
        raise UsageError(f"holds a {type(content).__name__}, expected a state dict", where=path.name)
    return dict(content)


def _beginning(path: Path) -> bytes:
    """Return the first bytes of a file.

    Raises:
        UsageError: If they are not those of weights, or the file is a compressed archive.
    """
    with path.open("rb") as file:
        first = file.read(200)
    start = first.lstrip()
    if not start:
        raise UsageError("the file is empty", where=path.name)
    if start.startswith(b"version https://git-lfs"):
        raise UsageError("a Git LFS pointer, not the weights", where=path.name, remedy="git lfs pull")
    if start.startswith(b"<"):
        raise UsageError("a web page, not weights", where=path.name, remedy="download the file itself")
    if first.startswith(_COMPRESSED) or _is_compressed(path):
        raise UsageError("a compressed archive, not weights", where=path.name, remedy="unpack it")
    return first


def _is_compressed(path: Path) -> bool:
    """Return whether a file is a zip archive with compressed members, which PyTorch does not write."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError):
        return False


def _of_several_files(index: Path) -> dict[str, Any]:
    """Load the weights of the files that an index lists, as in `model.safetensors.index.json`."""
    try:
        names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
        paths = [index.parent / Path(name).name for name in names]
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise UsageError(f"not an index of files with weights ({error!r})", where=index.name) from error
    if missing := [path.name for path in paths if not path.is_file()]:
        raise UsageError(f"{names_of(missing)} missing beside it", where=index.name)
    return {key: value for path in paths for key, value in load_tensors(path).items()}


def _safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise UsageError(f"not a safetensors file ({error})", where=path.name) from error


def named_digest(path: Path) -> str:
    """Return the name of a file with the beginning of its SHA-256."""
    with path.open("rb") as file:
        return f"{path.name} sha256:{hashlib.file_digest(file, 'sha256').hexdigest()[:16]}"


def state_dict_of(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the state dict in a checkpoint, without the dictionaries around it."""
    for _ in range(_DEEPEST):
        inner = next((content[name] for name in _WRAPPERS if isinstance(content.get(name), Mapping)), None)
        if inner is None:
            break
        content = inner
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    counters_only = all(tensor.ndim == 0 for tensor in tensors.values())  # such as an epoch
    return _flattened(content) if counters_only else tensors


def _flattened(content: Mapping[str, Any], depth: int = 0) -> dict[str, Tensor]:
    """Return the tensors in nested dictionaries, with the names of the dictionaries before theirs."""
    found: dict[str, Tensor] = {}
    for key, value in content.items():
        if isinstance(value, Tensor):
            found[str(key)] = value
        elif isinstance(value, Mapping) and depth < _DEEPEST:
            found |= {f"{key}.{name}": tensor for name, tensor in _flattened(value, depth + 1).items()}
    return found


def without_prefix(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the entries of a state dict with a prefix, without the prefix."""
    return {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}


def load_strictly(
    module: nn.Module, state: Mapping[str, Tensor], where: str, *, ignored: Iterable[str] = ()
) -> None:
    """Load a state dict without missing keys, surplus keys or different shapes.

    Args:
        module: Module to load into.
        state: The weights.
        where: Name of the file, for the message.
        ignored: Prefixes of surplus keys to ignore.

    Raises:
        UsageError: If the weights do not fit.
    """
    wanted = module.state_dict()
    problems = []
    counters = "num_batches_tracked"  # missing in old files, and not needed for evaluation
    if missing := [k for k in wanted if k not in state and not k.endswith(counters)]:
        problems.append(f"lacks {names_of(missing)}")
    if extra := [k for k in state if k not in wanted and not k.startswith(tuple(ignored))]:
        problems.append(f"has {names_of(extra)} too many")
    shapes = [
        f"{k} {list(state[k].shape)} for {list(wanted[k].shape)}"
        for k in wanted
        if k in state and state[k].shape != wanted[k].shape
    ]
    if shapes:
        problems.append(f"has other shapes ({names_of(shapes)})")
    if problems:
        raise UsageError(
            f"its weights do not fit the architecture: it {', and '.join(problems)}", where=where
        )
    module.load_state_dict({k: v for k, v in state.items() if k in wanted}, strict=False)
