"""Construction of a published network with its weights and its pooling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from wsi_embed.errors import UsageError
from wsi_embed.util.text import argument
from wsi_embed_export.resize import Transform
from wsi_embed_export.token_pooling import pooling_arguments
from wsi_embed_export.trained import Given
from wsi_embed_train.backbones import make_backbone
from wsi_embed_train.weights.files import state_dict_of

# Arguments of `create_model` that contradict what an export does, with the reason.
_REFUSED = {
    "pretrained": "nothing is downloaded: give the weights as a file",
    "features_only": "features of stages are not exported: see `StagePooling`",
    "checkpoint_path": "give the weights by `weights=`",
}


def make_network(
    architecture: str, arguments: Mapping[str, object], pooling: str | None, keys: Mapping[str, Any]
) -> nn.Module:
    """Create an untrained network of timm or torchvision.

    Args:
        architecture: `timm/NAME` or a name of torchvision.
        arguments: Arguments of timm's `create_model`. Layers may be named: `mlp_layer="SwiGLUPacked"`.
        pooling: Pooling of the tokens; None for that of the architecture.
        keys: The weights, whose names tell whether means are normalised after pooling.

    Raises:
        UsageError: If there is no such network, or it does not take these arguments or this pooling.
    """
    for name, reason in _REFUSED.items():
        if arguments.get(name):
            raise UsageError(reason, where=argument("settings", {name: arguments[name]}))
    used = {key: value for key, value in arguments.items() if key not in _REFUSED}
    if used.pop("num_classes", 0) not in (0, None):  # model cards give 0, which is always used
        raise UsageError("classifiers are not exported", where=argument("settings", dict(arguments)))
    used |= pooling_arguments(pooling, state_dict_of(keys)) if "/" in architecture else {}
    try:
        network, _ = make_backbone(architecture, **with_layers(used))
    except AssertionError as error:
        what, value = ("pooling", pooling) if pooling else ("settings", dict(arguments))
        raise UsageError(
            f"{architecture} does not offer this ({error or 'an assertion of timm'})",
            where=argument(what, value),
        ) from error
    _check_gates(network, arguments)
    return network


def _check_gates(network: nn.Module, arguments: Mapping[str, object]) -> None:
    """Check that SwiGLU has the activation of its name, which timm replaces by that of the architecture.

    Raises:
        UsageError: If it has another, and the user did not ask for one.
    """
    if "act_layer" in arguments or not str(arguments.get("mlp_layer", "")).startswith("SwiGLU"):
        return
    gated = (module for module in network.modules() if type(module).__name__ in ("GluMlp", "SwiGLU"))
    if any(not isinstance(module.act, nn.SiLU) for module in gated):
        raise UsageError(
            "timm would use GELU in it",
            where=argument("settings", {"mlp_layer": arguments["mlp_layer"]}),
            remedy="add `act_layer=SiLU`, as model cards do",
        )


def feature_width(backbone: nn.Module, name: str, px: int) -> int:
    """Return the number of features of a network, without computing them.

    Args:
        backbone: The network.
        name: Name of the network, for messages.
        px: Side of its input, pixels.

    Raises:
        UsageError: If it does not accept images of this size, or does not return a vector for each.
    """
    tensors = {**dict(backbone.named_parameters()), **dict(backbone.named_buffers())}
    shapes_only = {key: tensor.to("meta") for key, tensor in tensors.items()}
    try:
        with torch.inference_mode():
            images = torch.empty(2, 3, px, px, device="meta")
            found = torch.func.functional_call(backbone.eval(), shapes_only, (images,))
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(
            f"{name} does not take images of {px} pixels ({reason})",
            remedy="give `tile_px=`, or `resize=` to what it takes (most: 224); timm's vision transformers "
            "take other sizes with `settings=['dynamic_img_size=true']`",
        ) from error
    if not isinstance(found, torch.Tensor) or found.ndim != 2:
        shape = list(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
        raise UsageError(
            f"{name} with these arguments does not return one vector for each image, but {shape}",
            remedy="give `pooling='token'`, `'mean'` or `'token+mean'`",
        )
    return int(found.shape[1])


def transform_of(
    given: Given, tile_px: int, resize: int | None = None, crop: int | None = None, how: str = "bicubic"
) -> Transform:
    """Return the geometry of the tiles: values of the user before those of the model.

    Args:
        given: Values of the user.
        tile_px: Side of a tile, pixels.
        resize: Side of the resized tile, pixels; None for that of the tile.
        crop: Side of the centre that the network sees, pixels; None for all of the resized tile.
        how: Interpolation of the resizing.
    """
    px = given.tile_px or tile_px
    if given.resize is not None or resize is None:
        resize, crop = given.resize or px, None
    crop = given.crop or crop or resize
    return Transform(px, resize, crop, given.interpolation or how)


def with_layers(arguments: Mapping[str, object]) -> dict[str, Any]:
    """Replace the names of layers in arguments of timm: `mlp_layer="SwiGLUPacked"`, `act_layer="SiLU"`.

    Raises:
        UsageError: If neither timm nor PyTorch has such a layer.
    """
    resolved: dict[str, Any] = dict(arguments)
    for key, value in arguments.items():
        if key.endswith("_layer") and isinstance(value, str):
            import timm.layers

            layer = getattr(timm.layers, value, None) or getattr(nn, value, None)
            if layer is None:
                raise UsageError(
                    f"neither timm.layers nor torch.nn has a {value}",
                    where=argument("settings", {key: value}),
                )
            resolved[key] = layer
    return resolved
