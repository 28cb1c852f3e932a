"""Weights of a network in a published checkpoint: key layouts, prefixes and position embeddings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from wsi_embed_train.weights.files import state_dict_of, without_prefix
from wsi_embed_train.weights.key_layouts import translated
from wsi_embed_train.weights.positions import resampled, without_class_position


def network_weights(
    content: Mapping[str, Any], wanted: Mapping[str, Tensor], positions: Mapping[str, Any] | None = None
) -> dict[str, Tensor]:
    """Return the weights of a network in a checkpoint by their names in timm or torchvision.

    The checkpoint may have any layout of `key_layouts`. Names are compared after the prefix, such as
    `module.` or `teacher.backbone.`, behind which the most weights fit.

    Args:
        content: Contents of the file.
        wanted: The tensors of the network.
        positions: Resampling of position embeddings; see `positions.resampled`.
    """
    state = translated(state_dict_of(content))
    state = without_prefix(state, best_prefix(state, wanted))
    for name in {"cls_token", "pos_embed"} & state.keys():  # CLIP's have no dimension of the batch
        while state[name].ndim < 3:
            state[name] = state[name].unsqueeze(0)
    return without_class_position(resampled(state, wanted, positions), wanted)


def fits(tensor: Tensor | None, wanted: Tensor) -> bool:
    """Return whether a tensor of a file can be copied into one of a network."""
    return (
        tensor is not None
        and tensor.shape == wanted.shape
        and tensor.is_floating_point()
        and tensor.layout == torch.strided
        and not tensor.is_meta
    )


def best_prefix(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """Return the prefix after which the most weights fit.

    Of several, that of a teacher is chosen before others, and that of a student or of a target network last.

    Args:
        state: The weights of a file.
        wanted: The tensors of a network.
    """
    fitting: Counter[str] = Counter()
    for name, tensor in state.items():
        parts = name.split(".")
        for start in range(len(parts)):
            if fits(wanted.get(".".join(parts[start:])), tensor):
                fitting[".".join([*parts[:start], ""])] += 1
    return min(fitting, key=lambda prefix: (-fitting[prefix], _rank(prefix), prefix), default="")


def _rank(prefix: str) -> int:
    last = ("target", "student", "momentum", "encoder_k.")
    return 0 if "teacher" in prefix else 2 if any(name in prefix for name in last) else 1
