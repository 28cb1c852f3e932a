"""Training methods, one module each."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from wsi_embed.util.registry import Registry
from wsi_embed_train.backbones import check_tile_px, sized
from wsi_embed_train.methods.base import Encoder, Method, Step

__all__ = ["METHODS", "Encoder", "Method", "Step", "build_method", "method_settings"]

METHODS: Registry[type[Method]] = Registry(
    "method",
    {
        "clubyol": "wsi_embed_train.methods.clubyol:CluBYOL",
        "clusiam": "wsi_embed_train.methods.clusiam:CluSiam",
        "byol": "wsi_embed_train.methods.byol:BYOL",
        "simsiam": "wsi_embed_train.methods.simsiam:SimSiam",
        "simclr": "wsi_embed_train.methods.simclr:SimCLR",
        "swav": "wsi_embed_train.methods.swav:SwAV",
        "barlow": "wsi_embed_train.methods.barlow:BarlowTwins",
        "supervised": "wsi_embed_train.methods.supervised:Supervised",
        "pcl": "wsi_embed_train.methods.pcl:PCL",
        "dino": "wsi_embed_train.methods.dino:DINO",
        "distil": "wsi_embed_train.methods.distil:Distil",
    },
)
# Arguments of constructors that are no settings: they come from the data and the teacher.
_KNOWN = ("classes", "teacher_dim", "teacher_clusters")


def method_settings(method: str) -> dict[str, bool]:
    """Return the settings of a method, which are the arguments of its constructor.

    Returns:
        Whether each setting is required, by name.
    """
    arguments = inspect.signature(METHODS.get(method)).parameters.values()
    return {a.name: a.default is a.empty for a in arguments if a.name not in _KNOWN}


def build_method(
    name: str,
    settings: Mapping[str, Any],
    classes: int | None = None,
    teacher: Mapping[str, Any] | None = None,
) -> Method:
    """Create the untrained network and loss of a recipe.

    Args:
        name: Name of the method, one of `METHODS`.
        settings: The settings of the recipe by name, at least `backbone`, `tile_px` and those of the method,
            such as `vars(config)`. None stands for the default of the method.
        classes: Number of classes in the data, for a method that needs labels.
        teacher: Description of the teacher, for a method that needs one: at least `feature_dim` and
            `clusters`.

    Raises:
        UsageError: If there is no such backbone, or it does not accept tiles of `tile_px` pixels.
        MissingExtraError: If torchvision has no such backbone and timm is not installed.

    Example:
        >>> from wsi_embed_train import build_method, load_recipe
        >>> config = load_recipe("clubyol")
        >>> method = build_method(config.method, vars(config))
        >>> method.encoder.feature_dim
        512
    """
    given = {setting: settings.get(setting) for setting in method_settings(name)}
    arguments = {setting: value for setting, value in given.items() if value is not None}
    arguments["backbone"] = sized(settings["backbone"], settings["tile_px"])
    if METHODS.get(name).needs_labels:
        arguments["classes"] = classes
    if METHODS.get(name).needs_teacher and teacher is not None:
        arguments |= {"teacher_dim": teacher["feature_dim"], "teacher_clusters": teacher["clusters"]}
    method = METHODS.get(name)(**arguments)
    check_tile_px(method.encoder.plain_backbone(), settings["backbone"], settings["tile_px"])
    return method
