"""Architectures of timm or torchvision by name, with weights from a local file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wsi_embed.errors import UsageError
from wsi_embed.util.text import argument
from wsi_embed_export.sources.assembly import feature_width, make_network, transform_of
from wsi_embed_export.sources.hub_config import HubConfig, read_hub_config
from wsi_embed_export.sources.normalisation import normalisation, noted
from wsi_embed_export.token_pooling import with_pooling
from wsi_embed_export.trained import Given, TrainedModel
from wsi_embed_export.weights import load_published
from wsi_embed_train.backbones import torchvision_names
from wsi_embed_train.weights.files import load_tensors, named_digest

FAMILIES = ("timm", "torchvision")


def read_named(
    family: str, name: str, weights: Path | None, settings: Mapping[str, object], given: Given
) -> TrainedModel:
    """Create an architecture without cluster head and load its weights.

    Arguments, normalisation, tile size and pooling are those of a `config.json` of timm beside the weights,
    or else the library's defaults for the architecture, unless `given` and `settings` override them. Notes in
    the metadata say so.

    Args:
        family: `timm` or `torchvision`.
        name: Name of the architecture.
        weights: A safetensors file or a state dict, in any layout of `key_layouts`.
        settings: Arguments of timm's `create_model`.
        given: Values that override the library's defaults, and the resolution `mpp`.

    Raises:
        UsageError: If `weights` is missing or does not fit, the architecture is unknown, or its defaults are
            known to be wrong for published weights.
        MissingExtraError: If timm is needed but not installed.
    """
    source = f"{family}:{name}"
    if weights is None:
        raise UsageError(
            "needs weights, and nothing is downloaded",
            where=source,
            remedy="give `weights=FILE` (.safetensors or a state dict)",
        )
    if not weights.is_file():
        raise UsageError("no such file", where=weights, remedy="check `weights=`")
    if family == "torchvision":
        _check_torchvision(name, settings)
    config = _config(family, name, weights)
    arguments = {**(config.arguments if config else {}), **settings}
    content = load_tensors(weights)
    network = make_network(f"timm/{name}" if family == "timm" else name, arguments, given.pooling, content)
    *default, px = noted(family, name, network)
    mean, std, note = normalisation(given, source, (default[0], default[1]), config)
    px = (
        _side(settings.get("img_size"))
        or (config.px if config else None)
        or _side(arguments.get("img_size"))
        or px
    )
    transform = transform_of(given, px, how=config.graph_interpolation if config else "bicubic")
    if config and given.interpolation is None and transform.resize != transform.tile_px:
        config.check_interpolation()
    backbone = with_pooling(network, given.pooling, source)
    width = feature_width(backbone, source, transform.crop)
    load_published(network, content, weights.name)
    return TrainedModel(
        backbone=backbone, feature_dim=width, projector=None, cluster_head=None, clusters=None,
        method="weights", architecture=f"timm/{name}" if family == "timm" else name,
        tile_px=transform.tile_px, mpp=given.mpp, mean=mean, std=std,
        training=_about(arguments, given, str(transform), [note, config.note if config else ""]),
        name=named_digest(weights), resize=transform.module(),
        published_licence=config.licence if config else "",
    )  # fmt: skip


def read_hub(weights: Path, settings: Mapping[str, object], given: Given) -> TrainedModel:
    """Read weights with a `config.json` of timm beside them, which names the architecture.

    Args:
        weights: File of the weights.
        settings: Arguments of timm's `create_model` that replace those of the config.
        given: Values that replace those of the config.

    Raises:
        UsageError: If the config is damaged, or the weights do not fit it.
        MissingExtraError: If timm is not installed.
    """
    config = read_hub_config(weights)
    assert config is not None
    return read_named("timm", config.architecture, weights, settings, given)


def _config(family: str, name: str, weights: Path) -> HubConfig | None:
    """Return the config beside the weights of a network of timm.

    Raises:
        UsageError: If it is that of another architecture.
    """
    config = read_hub_config(weights) if family == "timm" else None
    if config is not None and config.architecture != name:
        raise UsageError(
            f"config.json beside the weights says that they are of {config.architecture}, not of {name}",
            where=weights.name,
            remedy=f"use timm:{config.architecture}, or move the weights",
        )
    return config


def _about(arguments: Mapping[str, object], given: Given, transform: str, notes: list[str]) -> dict[str, Any]:
    """Return what the metadata record of the architecture, without what is as the library has it."""
    about: dict[str, Any] = {}
    if arguments:
        about["arguments"] = {key: str(value) for key, value in arguments.items()}
    if given.pooling is not None:
        about["pooling"] = given.pooling
    if transform != "none":
        about["transform"] = transform
    if any(notes):
        about["notes"] = [note for note in notes if note]
    return about


def _side(size: object) -> int | None:
    """Return the side of `img_size`; None if it is not a number."""
    return size if isinstance(size, int) and not isinstance(size, bool) else None


def _check_torchvision(name: str, settings: Mapping[str, object]) -> None:
    if name not in torchvision_names():
        raise UsageError(f"torchvision:{name}: no such classification model; timm may have it: timm:{name}")
    if settings:
        raise UsageError(
            "torchvision's models take no arguments",
            where=argument("settings", list(settings)[:1]),
            remedy="use timm:NAME",
        )
