"""Published encoders by the name of their preset, with weights from a local file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from wsi_embed.errors import UsageError
from wsi_embed_export.networks import NETWORKS
from wsi_embed_export.presets import Preset, presets
from wsi_embed_export.sources.assembly import feature_width, make_network, transform_of
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
    content = load_tensors(weights)
    _check_signature(preset, content, weights.name)
    transform = transform_of(given, preset.tile_px, preset.resize, preset.crop, preset.interpolation)
    pooling = given.pooling or preset.pooling
    backbone = _network(
        preset, {**preset.arguments, **settings}, pooling, content, weights.name, transform.crop
    )
    changed = {
        name for name in ("mean", "std", "pooling", "resize", "crop") if getattr(given, name) is not None
    }
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
        training={
            "preset": preset.name,
            "model_card": preset.repository,
            "arguments": {key: str(value) for key, value in {**preset.arguments, **settings}.items()},
            **({"pooling": pooling} if pooling else {}),
            "transform": str(transform),
            **({"changed": sorted(changed | set(settings))} if changed or settings else {}),
            **({"notes": [f"{preset.title}: {preset.remark}"]} if preset.remark else {}),
        },
        name=named_digest(weights),
        resize=transform.module(),
        published_licence=preset.terms,
    )


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
    architecture = f"timm/{name}" if family == "timm" else name
    network = make_network(architecture, arguments, pooling, content)
    if preset.norm_eps is not None:
        for module in network.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = preset.norm_eps
    load_published(network, content, where, preset.positions)
    return with_pooling(network, pooling, preset.name)


def _check_signature(preset: Preset, content: Mapping[str, Any], where: str) -> None:
    """Check that no tensor has another shape than in the published file.

    Raises:
        UsageError: If one has. The message names the presets whose shapes these are.
    """
    state = state_dict_of(content)
    different = _differences(preset, state)
    if not different:
        return
    name, shape = different[0]
    others = [each.name for each in presets().values() if each is not preset and _is(each, state)]
    raise UsageError(
        f"not the weights of {preset.title}: {name} has the shape {list(shape)}, "
        f"expected {list(preset.signature[name])}",
        where=where,
        remedy=f"its shapes are those of {' and '.join(others)}" if others else None,
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
