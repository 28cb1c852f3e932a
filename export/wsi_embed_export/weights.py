"""Published weights, loaded into a network of timm or torchvision."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from wsi_embed.errors import UsageError
from wsi_embed.util.text import names_of
from wsi_embed_export.key_layouts import translated
from wsi_embed_export.positions import resampled
from wsi_embed_train.weights.files import load_strictly, state_dict_of, without_prefix
from wsi_embed_train.weights.initial import best_prefix

# Surplus weights without influence on the features: classifiers, and parts that only training needs.
_HARMLESS = re.compile(
    r"(fc|classifier|head|heads|head_dist|last_linear|pre_logits|pooler|dino_head|ibot_head|projector|predictor"
    r"|projection_head|prototypes|decoder_\w+|decoder|text|logit_scale|logit_bias|queue|queue_ptr|mask_token"
    r"|masked_embed|patch_embed\.masked_embed)(\..*)?"
    r"|.*\.?(relative_position_index|attn_mask)"
)


def load_published(
    backbone: nn.Module, content: Mapping[str, Any], where: str, positions: Mapping[str, Any] | None = None
) -> None:
    """Load the weights of a checkpoint in any known key layout, behind any prefix.

    Classifiers and other parts that do not change the features may be surplus.

    Args:
        backbone: Network to load into.
        content: Contents of the file.
        where: Name of the file, for messages.
        positions: Resampling of position embeddings; see `positions.resampled`.

    Raises:
        UsageError: If the weights do not fit, or some are not finite.
    """
    wanted = backbone.state_dict()
    state = network_weights(content, wanted, positions)
    state = {
        name: tensor for name, tensor in state.items() if name in wanted or not _HARMLESS.fullmatch(name)
    }
    if bad := [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]:
        raise UsageError(f"weights that are not finite: {names_of(bad)}", where=where, remedy="is it whole?")
    try:
        load_strictly(backbone, state, where)
    except UsageError as error:
        raise error.replace(remedy=_remedy(state, wanted)) from error


def network_weights(
    content: Mapping[str, Any], wanted: Mapping[str, Tensor], positions: Mapping[str, Any] | None = None
) -> dict[str, Tensor]:
    """Return the weights of a network in a checkpoint by their names in timm or torchvision.

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
    return _without_class_position(resampled(state, wanted, positions), wanted)


def _without_class_position(state: dict[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add the position of the class token to the token, for networks of timm that have none for it."""
    mine, position = wanted.get("pos_embed"), state.get("pos_embed")
    if mine is None or position is None or "cls_token" not in state or mine.ndim != 3 or position.ndim != 3:
        return state
    if position.shape[1] != mine.shape[1] + 1:
        return state
    token = state["cls_token"] + position[:, :1]
    return {**state, "cls_token": token, "pos_embed": position[:, 1:]}


def _remedy(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str | None:
    """Return how to fit an architecture to weights that show what it lacks."""
    if any(name.startswith("fc_norm.") for name in state) and "fc_norm.weight" not in wanted:
        return "its features are means of patch tokens: `pooling='mean'`"
    if any(name.startswith("attn_pool.") for name in state) and "attn_pool.latent" not in wanted:
        return "its features are pooled by attention: `pooling='map'`"
    return None
