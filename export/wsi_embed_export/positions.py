"""Resampling of position embeddings to another grid, as the authors of published weights do it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

# More tokens than these before the patch tokens have no positions in any published network.
_MOST_PREFIX = 8


def resampled(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], positions: Mapping[str, Any] | None
) -> dict[str, Tensor]:
    """Resample the position embeddings of a published file if the network has another grid.

    Args:
        state: The weights of the file, by their names in the network.
        wanted: The tensors of the network.
        positions: `grid`, the side of the grid in the file, and `resampling`: `timm` (bicubic, antialiased)
            or `dino` (bicubic, with a side that is larger by 0.1); None to change nothing.
    """
    found = dict(state)
    for name in [name for name in state if name.endswith("pos_embed") and name in wanted]:
        old, new = (positions or {}).get("grid", 0), math.isqrt(wanted[name].shape[1])
        prefix = state[name].shape[1] - old * old
        if positions and old != new and 0 <= prefix <= _MOST_PREFIX:
            found[name] = _resampled(state[name], prefix, old, new, positions["resampling"])
    return found


def _resampled(embedding: Tensor, prefix: int, old: int, new: int, resampling: str) -> Tensor:
    before, grid = embedding[:, :prefix].float(), embedding[:, prefix:].float()
    images = grid.reshape(1, old, old, -1).permute(0, 3, 1, 2)
    if resampling == "timm":
        images = F.interpolate(images, size=(new, new), mode="bicubic", antialias=True)
    else:
        images = F.interpolate(images, scale_factor=((new + 0.1) / old,) * 2, mode="bicubic")
    return torch.cat([before, images.permute(0, 2, 3, 1).reshape(1, new * new, -1)], dim=1)
