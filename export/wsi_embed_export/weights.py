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

_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
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
    try:
        state = network_weights(content, wanted, positions)
    except UsageError as error:
        raise error.replace(where=where) from error
    state = {
        name: tensor for name, tensor in state.items() if name in wanted or not _HARMLESS.fullmatch(name)
    }
    _check_kinds(state, wanted, where)
    try:
        load_strictly(backbone, state, where)
    except UsageError as error:
        raise error.replace(remedy=_remedy(state, wanted, where)) from error
    if bad := [name for name, tensor in backbone.state_dict().items() if not torch.isfinite(tensor).all()]:
        raise UsageError(f"weights that are not finite: {names_of(bad)}", where=where, remedy="is it whole?")


def _check_kinds(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], where: str) -> None:
    """Check that weights are dense floating-point numbers, in the file and not elsewhere.

    Raises:
        UsageError: If one is quantised, sparse, complex or without values.
    """
    for name, tensor in state.items():
        if name not in wanted or not wanted[name].is_floating_point():
            continue
        if tensor.is_meta or tensor.layout != torch.strided or tensor.dtype not in _FLOATS:
            kind = "no values" if tensor.is_meta else f"the type {tensor.dtype}, {tensor.layout}"
            raise UsageError(
                f"{name} has {kind.replace('torch.', '')}",
                where=where,
                remedy="save it in float32 or float16",
            )


def _remedy(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], where: str) -> str | None:
    """Return how to fit an architecture to weights that show what it lacks."""
    if re.search(r"-\d{5}-of-\d{5}\.", where):
        return "it is one of several files: give the one that ends in .index.json"
    surplus = {part for name in state.keys() - wanted.keys() for part in name.split(".")}
    for part, remedy in _REMEDIES.items():
        if part in surplus:
            return remedy.format(tokens=state["reg_token"].shape[1] if "reg_token" in state else 0)
    if any(name.endswith("attn.qkv.bias") for name in wanted.keys() - state.keys()):
        return "if it has none: `settings=['qkv_bias=false']`"
    wide, narrow = ("blocks.0.mlp.fc1.weight", "blocks.0.mlp.fc2.weight")
    if all({wide, narrow} <= weights.keys() for weights in (state, wanted)):
        gated, expected = (len(each[wide]) == 2 * each[narrow].shape[1] for each in (state, wanted))
        if gated and not expected:
            return "its layers are gated: `settings=['mlp_layer=SwiGLUPacked', 'act_layer=SiLU']`"
    mine, theirs = wanted.get("pos_embed"), state.get("pos_embed")
    if mine is not None and theirs is not None and mine.shape[1] != theirs.shape[1]:
        return (
            "its images have another size: give theirs as `img_size`; with "
            "`settings=['dynamic_img_size=true']` and `tile_px=` the network then takes other tiles"
        )
    return None


# What surplus weights tell about the network that they are of.
_REMEDIES = {
    "fc_norm": "its features are means of patch tokens: `pooling='mean'`",
    "attn_pool": "its features are pooled by attention: `pooling='map'`",
    "ls1": "its layers are scaled: `settings=['init_values=1e-5']`",
    "reg_token": "it has registers: `settings=['reg_tokens={tokens}']`",
}
