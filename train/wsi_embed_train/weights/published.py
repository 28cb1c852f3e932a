"""Weights of a network in a published checkpoint: key layouts, prefixes and position embeddings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from wsi_embed.errors import UsageError
from wsi_embed_train.weights.files import state_dict_of, without_prefix
from wsi_embed_train.weights.key_layouts import translated
from wsi_embed_train.weights.positions import resampled, without_class_position

# Names that FSDP, activation checkpoints and `torch.compile` put between those of modules.
_WRAPPED = re.compile(r"(^|(?<=\.))(_fsdp_wrapped_module|_checkpoint_wrapped_module|_orig_mod)\.")


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

    Raises:
        UsageError: If several networks of the file fit equally well.
    """
    state = translated({_WRAPPED.sub("", name): tensor for name, tensor in state_dict_of(content).items()})
    state = without_prefix(state, _prefix(state, wanted))
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


def _prefix(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """Return the prefix of the network in a file.

    Raises:
        UsageError: If two networks with other weights fit, and neither is a teacher, student or target.
    """
    prefix, *others = best_prefixes(state, wanted) or [""]
    network = without_prefix(state, prefix)
    names = [name for name in wanted if not name.endswith("num_batches_tracked")]
    for other in others:
        weights = without_prefix(state, other)
        both = [name for name in names if fits(network.get(name), wanted[name]) and name in weights]
        if len(both) == len(names) and any(not torch.equal(network[name], weights[name]) for name in both):
            raise UsageError(
                f"has several networks that fit ({prefix.rstrip('.')} and {other.rstrip('.')})",
                remedy="save the one that is meant: torch.save(model.state_dict(), FILE)",
            )
    return prefix


def best_prefixes(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    """Return the prefixes after which the most weights fit, in alphabetical order.

    Of several, those of a teacher are chosen before others, and those of a student or of a target network
    last.

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
    best = min(((-count, _rank(prefix)) for prefix, count in fitting.items()), default=None)
    return sorted(prefix for prefix, count in fitting.items() if (-count, _rank(prefix)) == best)


def _rank(prefix: str) -> int:
    last = ("target", "student", "momentum", "encoder_k.")
    return 0 if "teacher" in prefix else 2 if any(name in prefix for name in last) else 1
