"""Comparison of additional outputs (`projection`, `tokens`, ...) of an exported file with the model."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import torch
from torch import Tensor

from wsi_embed.encoder import Encoded
from wsi_embed.encoder.difference import difference
from wsi_embed.slide import UInt8Array
from wsi_embed_export.graph import EXTRA, TileModel
from wsi_embed_export.parity import Limits, ParityError, feature_checks, judge

Outputs = dict[str, npt.NDArray[np.float32]]


def check_further(reference: TileModel, path: Path, limits: Limits, batches: Iterable[UInt8Array]) -> None:
    """Compare the outputs that the runtime does not read, with the limits of features.

    Args:
        reference: The model in PyTorch, fp32.
        path: The exported file.
        limits: Limits of the differences.
        batches: Batches of tiles, uint8 [B, tile_px, tile_px, 3] each.

    Raises:
        ParityError: If a limit is exceeded, or an output has another shape.
    """
    names = [name for name in reference.outputs if name in EXTRA]
    if not names:
        return
    run = _opened(path, reference.outputs)
    expected: list[Outputs] = []
    found: list[Outputs] = []
    for tiles in batches:
        with torch.inference_mode():
            expected.append(_named(reference.outputs, reference(torch.from_numpy(tiles))))
            found.append(run(tiles))
    checks = []
    for name in names:
        a, b = (np.concatenate([each[name] for each in side]) for side in (expected, found))
        if a.shape != b.shape:
            shapes = f"{list(b.shape)}, expected {list(a.shape)}"
            raise ParityError(f"the exported model's {name} has shape {shapes}; no file was written")
        vectors = (Encoded(side.reshape(len(side), -1)) for side in (a, b))
        checks += feature_checks(name, difference(*vectors), limits)
    judge(checks)


def _opened(path: Path, names: Sequence[str]) -> Callable[[UInt8Array], Outputs]:
    """Load a file, and return a function that computes all its outputs by name."""
    if path.suffix == ".onnx":
        session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        given = session.get_inputs()[0].name
        return lambda tiles: dict(zip(names, session.run(list(names), {given: tiles}), strict=True))
    with warnings.catch_warnings():  # PyTorch discourages TorchScript
        warnings.simplefilter("ignore", FutureWarning)
        module = torch.jit.load(str(path))  # type: ignore[no-untyped-call]
    return lambda tiles: _named(names, module(torch.from_numpy(tiles)))


def _named(names: Sequence[str], out: Sequence[Tensor]) -> Outputs:
    return {name: value.numpy() for name, value in zip(names, out, strict=True)}
