"""Normalisation of an architecture whose weights do not state theirs."""

from __future__ import annotations

from typing import Any

from torch import nn
from torchvision import models

from wsi_embed.errors import UsageError
from wsi_embed.util.text import names_of
from wsi_embed_export.presets import presets
from wsi_embed_export.sources.hub_config import HubConfig
from wsi_embed_export.trained import Given

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
Colours = tuple[float, ...]


def noted(family: str, name: str, network: nn.Module) -> tuple[Colours, Colours, int]:
    """Return the defaults of a library for an architecture: mean, standard deviation and side of the images.

    Args:
        family: `timm` or `torchvision`.
        name: Name of the architecture.
        network: The network.
    """
    if family == "timm":
        config: dict[str, Any] = getattr(network, "pretrained_cfg", None) or {}
        size = config.get("input_size") or (3, 224, 224)
        return (
            tuple(config.get("mean") or IMAGENET[0]),
            tuple(config.get("std") or IMAGENET[1]),
            int(size[-1]),
        )
    transforms = models.get_model_weights(name)["DEFAULT"].transforms()
    return tuple(transforms.mean), tuple(transforms.std), int(transforms.crop_size[0])


def normalisation(
    given: Given, source: str, default: tuple[Colours, Colours], config: HubConfig | None = None
) -> tuple[Colours, Colours, str]:
    """Return mean and standard deviation, and a note if they are a library's defaults.

    Args:
        given: Values of the user, which come first.
        source: The architecture, `timm:NAME` or `torchvision:NAME`.
        default: Mean and standard deviation that the library notes.
        config: Description beside the weights, which comes before the library.

    Returns:
        Mean, standard deviation, and a sentence for the user; empty if both were given.

    Raises:
        UsageError: If the values are not given and published weights of this architecture expect others than
            the defaults, so that the defaults would be a guess.
    """
    if given.mean is not None and given.std is not None:
        return given.mean, given.std, ""
    if config is not None and config.mean is not None and config.std is not None:
        mean, std = given.mean or config.mean, given.std or config.std
        return mean, std, f"mean {_numbers(mean)} and std {_numbers(std)} are those of config.json"
    family = source.partition(":")[0]
    others = [each for each in presets().values() if each.architecture == source]
    if wrong := [each.name for each in others if (each.mean, each.std) != default]:
        raise UsageError(
            f"{family} notes mean {_numbers(default[0])} and std {_numbers(default[1])} for this "
            f"architecture, but published weights of it expect others (presets {names_of(wrong)})",
            where=source,
            remedy="give `mean=` and `std=` of the model card, or use a preset",
        )
    mean, std = given.mean or default[0], given.std or default[1]
    note = (
        f"mean {_numbers(mean)} and std {_numbers(std)} are those that {family} notes for {source}; "
        "model cards often differ: compare, and give `mean=` and `std=`"
    )
    return mean, std, note


def _numbers(values: Colours) -> str:
    return ",".join(f"{value:g}" for value in values)
