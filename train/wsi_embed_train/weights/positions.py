"""Position embeddings of vision transformers, fitted to a network with another grid of patches."""

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


def fitted(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Resample position embeddings to the grid of a network, whatever square grid they have.

    The resampling is that of timm: bicubic and antialiased.

    Args:
        state: The weights of a file, by their names in the network.
        wanted: The tensors of the network.

    Returns:
        The weights, and a line about each embedding that was resampled.
    """
    found, notes = dict(state), []
    for name in [name for name in state if name.endswith("pos_embed") and name in wanted]:
        mine, theirs = wanted[name], state[name]
        if mine.ndim != 3 or theirs.ndim != 3 or mine.shape[2] != theirs.shape[2]:
            continue
        if not theirs.is_floating_point() or theirs.layout != torch.strided:
            continue
        grids = _grids(mine.shape[1], theirs.shape[1])
        if grids is not None:
            prefix, new, old = grids
            found[name] = _resampled(theirs, prefix, old, new, "timm")
            notes.append(f"{name} resampled from {old} x {old} to {new} x {new} patches")
    return without_class_position(found, wanted), tuple(notes)


def _grids(mine: int, theirs: int) -> tuple[int, int, int] | None:
    """Return prefix tokens in the file, and the sides of both grids; None if they agree, or are not square.

    Args:
        mine: Number of positions in the network.
        theirs: Number of positions in the file, which may have one more for the class token.
    """
    new = math.isqrt(mine)
    own = mine - new * new
    for prefix in (own,) if own else (0, 1):
        old = math.isqrt(max(0, theirs - prefix))
        if old > 1 and old * old + prefix == theirs:
            return None if old == new else (prefix, new, old)
    return None


def without_class_position(state: dict[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add the position of the class token to the token, for networks of timm that have none for it."""
    mine, position = wanted.get("pos_embed"), state.get("pos_embed")
    if mine is None or position is None or "cls_token" not in state or mine.ndim != 3 or position.ndim != 3:
        return state
    if position.shape[1] != mine.shape[1] + 1:
        return state
    token = state["cls_token"] + position[:, :1]
    return {**state, "cls_token": token, "pos_embed": position[:, 1:]}


def _resampled(embedding: Tensor, prefix: int, old: int, new: int, resampling: str) -> Tensor:
    before, grid = embedding[:, :prefix].float(), embedding[:, prefix:].float()
    images = grid.reshape(1, old, old, -1).permute(0, 3, 1, 2)
    if resampling == "timm":
        images = F.interpolate(images, size=(new, new), mode="bicubic", antialias=True)
    else:
        images = F.interpolate(images, scale_factor=((new + 0.1) / old,) * 2, mode="bicubic")
    return torch.cat([before, images.permute(0, 2, 3, 1).reshape(1, new * new, -1)], dim=1)
