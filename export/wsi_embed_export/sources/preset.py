"""Published encoders by the name of their preset, with weights from a local file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from wsi_embed.errors import UsageError
from wsi_embed.util.text import argument, names_of
from wsi_embed_export.networks import NETWORKS
from wsi_embed_export.presets import Preset, presets
from wsi_embed_export.resize import Transform
from wsi_embed_export.sources.assembly import feature_width, make_network, transform_of
from wsi_embed_export.sources.hub_config import read_hub_config
from wsi_embed_export.token_pooling import with_pooling
from wsi_embed_export.trained import Given, TrainedModel
from wsi_embed_export.weights import load_published
from wsi_embed_train.weights.files import load_tensors, named_digest, state_dict_of


def read_preset(
    preset: Preset, weights: Path | None, settings: Mapping[str, object], given: Given
) -> TrainedModel:
    """Create the network of a preset and load its published weights.

    Args:
        preset: Figures of the model card.
        weights: The published file.
        settings: Arguments of the architecture that replace those of the preset.
        given: Values that replace those of the preset.

    Raises:
        UsageError: If `weights` is missing or is another model's, or the values do not fit together.
        MissingExtraError: If timm is needed but not installed.
    """
    if weights is None:
        raise UsageError(
            "needs weights, and nothing is downloaded",
            where=preset.name,
            remedy=f"get {preset.file} from {preset.repository} and give it as `weights=`",
        )
    if not weights.is_file():
        raise UsageError("no such file", where=weights, remedy="check `weights=`")
    if "img_size" in settings:
        raise UsageError(
            "the size of the input follows from the tiles",
            where=argument("settings", {"img_size": settings["img_size"]}),
            remedy="give `resize=`, or `tile_px=`",
        )
    content = load_tensors(weights)
    _check_signature(preset, content, weights.name)
    transform = transform_of(given, preset.tile_px, preset.resize, preset.crop, preset.interpolation)
    pooling = given.pooling or preset.pooling
    arguments = {**preset.arguments, **settings}
    backbone = _network(preset, arguments, pooling, content, weights.name, transform.crop)
    return TrainedModel(
        backbone=backbone,
        feature_dim=feature_width(backbone, preset.name, transform.crop),
        projector=None,
        cluster_head=None,
        clusters=None,
        method="weights",
        architecture=preset.architecture.replace(":", "/").removeprefix("torchvision/"),
        tile_px=transform.tile_px,
        mpp=given.mpp or preset.mpp,
        mean=given.mean or preset.mean,
        std=given.std or preset.std,
        training=_about(preset, arguments, pooling, transform, _changed(settings, given))
        | _notes(preset, transform, weights),
        name=named_digest(weights),
        resize=transform.module(),
        published_licence=preset.terms,
    )


def _changed(settings: Mapping[str, object], given: Given) -> list[str]:
    """Return the names of values of the preset that the user replaced."""
    names = ("mean", "std", "pooling", "resize", "crop", "interpolation")
    return sorted({*settings, *(name for name in names if getattr(given, name) is not None)})


def _about(
    preset: Preset,
    arguments: Mapping[str, Any],
    pooling: str | None,
    transform: Transform,
    changed: list[str],
) -> dict[str, Any]:
    """Return what the metadata record of the preset."""
    return {
        "preset": preset.name,
        "model_card": preset.repository,
        "arguments": {key: str(value) for key, value in arguments.items()},
        **({"pooling": pooling} if pooling else {}),
        "transform": str(transform),
        **({"changed": changed} if changed else {}),
    }


def _notes(preset: Preset, transform: Transform, weights: Path) -> dict[str, list[str]]:
    """Return the sentences for the user, as `notes`; empty if there are none."""
    notes = [f"{preset.title}: {preset.remark}"] if preset.remark else []
    if transform.crop != preset.crop:
        notes.append(f"the network sees {transform.crop} pixels, on the card {preset.crop}")
    config = read_hub_config(weights)
    if config is not None and config.mean and (config.mean, config.std) != (preset.mean, preset.std):
        notes.append("config.json beside the weights has another mean or std; the preset has the card's")
    return {"notes": notes} if notes else {}


def _network(
    preset: Preset, arguments: Mapping[str, Any], pooling: str | None, content: Mapping[str, Any], where: str,
    px: int,
) -> nn.Module:  # fmt: skip
    """Create the network, load its weights and add its pooling."""
    family, _, name = preset.architecture.partition(":")
    if own := NETWORKS.get(preset.architecture):
        if pooling is not None or arguments:
            raise UsageError(f"{preset.name} takes no `pooling=` and no `settings=`")
        network = own.make(px)
        load_published(network, content, where, preset.positions)
        return own.finish(network)
    if "img_size" in arguments:
        arguments = {**arguments, "img_size": px}
    positions = preset.positions or _positions(preset)
    architecture = f"timm/{name}" if family == "timm" else name
    network = make_network(architecture, arguments, pooling, content)
    if preset.norm_eps is not None:
        for module in network.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = preset.norm_eps
    load_published(network, content, where, positions)
    return with_pooling(network, pooling, preset.name)


def _positions(preset: Preset) -> dict[str, Any] | None:
    """Return how positions are resampled for another input than that of the card, if timm runs the model."""
    patch = preset.signature.get("patch_embed.proj.weight")
    if preset.layout != "timm" or patch is None:
        return None
    return {"grid": preset.crop // patch[-1], "resampling": "timm"}


def _check_signature(preset: Preset, content: Mapping[str, Any], where: str) -> None:
    """Check that no tensor has another shape than in the published file, and that it is no other preset's.

    Raises:
        UsageError: If one has, or names and shapes are those of other presets only. The message names the
            presets whose shapes these are.
    """
    state = state_dict_of(content)
    different = _differences(preset, state)
    unknown = not any(_shapes(preset, state).values())
    if not different and not unknown:
        return
    others = [each.name for each in presets().values() if each is not preset and _is(each, state)]
    if different:
        name, shape = different[0]
        what = f"{name} has the shape {list(shape)}, expected {list(preset.signature[name])}"
    elif others and preset.signature:
        what = f"it has no {names_of(list(preset.signature))}"
    else:  # saved again under other names
        return
    raise UsageError(
        f"not the weights of {preset.title}: {what}",
        where=where,
        remedy=f"its names and shapes are those of {' and '.join(others)}" if others else None,
    )


def _shapes(preset: Preset, state: Mapping[str, Any]) -> dict[str, list[tuple[int, ...]]]:
    """Return the shapes of the tensors of the signature, behind any prefix."""
    return {
        name: [tuple(t.shape) for key, t in state.items() if key == name or key.endswith(f".{name}")]
        for name in preset.signature
    }


def _differences(preset: Preset, state: Mapping[str, Any]) -> list[tuple[str, tuple[int, ...]]]:
    found = _shapes(preset, state)
    return [
        (name, shapes[0]) for name, shapes in found.items() if shapes and preset.signature[name] not in shapes
    ]


def _is(preset: Preset, state: Mapping[str, Any]) -> bool:
    return all(preset.signature[name] in shapes for name, shapes in _shapes(preset, state).items())
