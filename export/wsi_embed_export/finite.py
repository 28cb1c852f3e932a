"""Checks for numbers that are not finite, in the weights and the features of a model."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from wsi_embed.errors import UsageError
from wsi_embed.slide import UInt8Array
from wsi_embed_export.graph import TileModel
from wsi_embed_export.parity import ParityError, made_tiles
from wsi_embed_export.real_tiles import packaged_tiles


def check_finite(reference: TileModel, model: TileModel, where: object) -> None:
    """Check that a model has finite weights and features, in fp32 and in the precision of the export.

    PyTorch computes both, because ONNX Runtime computes fp16 in single precision on a CPU, where nothing
    overflows that would on a GPU.

    Args:
        reference: Model in fp32.
        model: Model that is exported; may be `reference`.
        where: Name of the model, for messages.

    Raises:
        UsageError: If a weight or a feature is NaN or infinite in fp32.
        ParityError: If one is in fp16.
    """
    for name, tensor in reference.state_dict().items():
        if not _is_finite(tensor):
            raise UsageError(
                f"its weights are not finite ({name})", where=where, remedy="use another checkpoint"
            )
    tiles = _tiles(reference.tile_px)
    if not _is_finite(_features(reference, tiles)):
        raise UsageError("its features are not finite", where=where, remedy="check weights and normalisation")
    if model is reference:
        return
    weights = all(map(_is_finite, model.state_dict().values()))
    if not (weights and _is_finite(_features(model, tiles))):
        raise ParityError(f"overflows in {model.precision}", where=where, remedy="use `precision='fp32'`")


def _tiles(px: int) -> UInt8Array:
    """Return a synthetic tile, a real one, and a white and a black one."""
    rng = np.random.default_rng(0)
    plain = np.stack([np.full((px, px, 3), value, np.uint8) for value in (255, 0)])
    return np.concatenate([made_tiles(rng, 1, px), packaged_tiles(rng, 1, px), plain])


def _features(model: TileModel, tiles: UInt8Array) -> Tensor:
    with torch.inference_mode():
        out = [model(torch.from_numpy(tile[np.newaxis])) for tile in tiles]
    return torch.cat([each[0] if isinstance(each, tuple) else each for each in out])


def _is_finite(tensor: Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())
