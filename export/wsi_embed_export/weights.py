"""Published weights, loaded into a network of timm or torchvision."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from wsi_embed.errors import UsageError
from wsi_embed.util.text import names_of
from wsi_embed_train.weights.files import load_strictly
from wsi_embed_train.weights.published import network_weights

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


def _remedy(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str | None:
    """Return how to fit an architecture to weights that show what it lacks."""
    if any(name.startswith("fc_norm.") for name in state) and "fc_norm.weight" not in wanted:
        return "its features are means of patch tokens: `pooling='mean'`"
    if any(name.startswith("attn_pool.") for name in state) and "attn_pool.latent" not in wanted:
        return "its features are pooled by attention: `pooling='map'`"
    return None
