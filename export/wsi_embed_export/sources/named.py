"""Architectures of timm or torchvision by name, with weights from a local file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn
from torchvision import models

from wsi_embed.errors import UsageError
from wsi_embed.util.text import argument
from wsi_embed_export.trained import Given, TrainedModel
from wsi_embed_export.weights import load_published
from wsi_embed_train.backbones import check_tile_px, make_backbone, torchvision_names
from wsi_embed_train.weights.files import load_tensors, named_digest

FAMILIES = ("timm", "torchvision")
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def read_named(
    family: str, name: str, weights: Path | None, settings: Mapping[str, object], given: Given
) -> TrainedModel:
    """Create an architecture without cluster head and load its weights.

    Normalisation, tile size and pooling are the library's defaults for the architecture, unless `given`
    overrides them.

    Args:
        family: `timm` or `torchvision`.
        name: Name of the architecture.
        weights: A safetensors file or a state dict. Prefixes such as `module.` and classifiers are removed.
        settings: Arguments of timm's `create_model`.
        given: Values that override the library's defaults, and the resolution `mpp`.

    Raises:
        UsageError: If `weights` is missing or does not fit, or the architecture is unknown.
        MissingExtraError: If timm is needed but not installed.
    """
    if weights is None:
        raise UsageError(
            "needs weights, and nothing is downloaded",
            where=f"{family}:{name}",
            remedy="give `weights=FILE` (.safetensors or a state dict)",
        )
    if not weights.is_file():
        raise UsageError("no such file", where=weights, remedy="check `weights=`")
    if family == "torchvision":
        _check_torchvision(name, settings)
    architecture = f"timm/{name}" if family == "timm" else name
    backbone, width = make_backbone(architecture, **_resolved(settings))
    noted = _noted(family, name, backbone)
    px = given.tile_px or noted[2]
    check_tile_px(backbone, f"{family}:{name}", px)
    load_published(backbone, load_tensors(weights), weights.name)
    return TrainedModel(
        backbone=backbone, feature_dim=width, projector=None, cluster_head=None, clusters=None,
        method="weights", architecture=architecture, tile_px=px,
        mpp=given.mpp, mean=given.mean or noted[0], std=given.std or noted[1],
        training={"arguments": {key: str(value) for key, value in settings.items()}} if settings else {},
        name=named_digest(weights),
    )  # fmt: skip


def _check_torchvision(name: str, settings: Mapping[str, object]) -> None:
    if name not in torchvision_names():
        raise UsageError(f"torchvision:{name}: no such classification model; timm may have it: timm:{name}")
    if settings:
        raise UsageError(
            "torchvision's models take no arguments",
            where=argument("settings", list(settings)[:1]),
            remedy="use timm:NAME",
        )


def _noted(family: str, name: str, backbone: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...], int]:
    """Return the library's defaults: mean, standard deviation and side of the images."""
    if family == "timm":
        noted: dict[str, Any] = getattr(backbone, "pretrained_cfg", None) or {}
        size = noted.get("input_size") or (3, 224, 224)
        return tuple(noted.get("mean") or IMAGENET[0]), tuple(noted.get("std") or IMAGENET[1]), int(size[-1])
    transforms = models.get_model_weights(name)["DEFAULT"].transforms()
    return tuple(transforms.mean), tuple(transforms.std), int(transforms.crop_size[0])


def _resolved(settings: Mapping[str, object]) -> dict[str, Any]:
    """Replace layer names in the arguments of a timm model: `mlp_layer=SwiGLUPacked`, `act_layer=SiLU`."""
    resolved: dict[str, Any] = dict(settings)
    for key, value in settings.items():
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
