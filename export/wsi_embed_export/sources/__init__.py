"""Sources of models, one module for each kind."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path

from wsi_embed.errors import UsageError
from wsi_embed.util.text import argument
from wsi_embed_export.presets import presets
from wsi_embed_export.sources.clusiam import is_clusiam, read_clusiam
from wsi_embed_export.sources.hub_config import hub_weights
from wsi_embed_export.sources.named import FAMILIES, read_hub, read_named
from wsi_embed_export.sources.preset import read_preset
from wsi_embed_export.sources.run import read_run
from wsi_embed_export.trained import Given, TrainedModel
from wsi_embed_train.weights.files import load_tensors

__all__ = ["read_source"]


def read_source(
    source: str | Path,
    given: Given | None = None,
    *,
    weights: Path | None = None,
    settings: Mapping[str, object] | None = None,
) -> TrainedModel:
    """Read a trained model, without running code from any file.

    Args:
        source: A run folder or a checkpoint of `wsi-embed train`; a checkpoint of the CluSiam repository;
            the name of a preset, `timm:NAME` or `torchvision:NAME`; weights of timm, or their folder, with
            their `config.json`.
        given: Properties of the model that the source does not contain.
        weights: Weights of a preset or a named architecture: a safetensors file or a state dict.
        settings: Arguments of a timm architecture.

    Raises:
        UsageError: If there is no such source, it contains more than plain weights, its weights do not fit,
            or a property is missing from both the source and `given`.
        MissingExtraError: If timm is needed but not installed.

    Example:
        >>> from wsi_embed_export import read_source
        >>> read_source("runs/first").feature_dim  # doctest: +SKIP
        512
    """
    given, settings = given or Given(), settings or {}
    family, _, name = str(source).partition(":")
    if family in FAMILIES and name:
        return read_named(family, name, weights, settings, given)
    path = Path(source)
    if (preset := presets().get(str(source))) and (weights is not None or not path.exists()):
        return read_preset(preset, weights, settings, given)
    if weights is None and (found := hub_weights(path)):
        return read_hub(found, settings, given)
    if weights is not None or settings:
        raise UsageError(
            f"`weights=` and `settings=` are for presets, timm:NAME and torchvision:NAME{_near(source)}",
            where=source,
        )
    for name in ("pooling", "resize", "crop", "interpolation"):
        if getattr(given, name) is not None:
            raise UsageError(
                f"{argument(name, getattr(given, name))} is for presets, timm:NAME and torchvision:NAME",
                where=source,
            )
    path = path / "checkpoints" / "last.ckpt" if path.is_dir() else path
    if not path.is_file():
        raise UsageError(
            "no checkpoint found (expected a run folder, a .ckpt file, a checkpoint of the "
            f"CluSiam repository, a preset, timm:NAME or torchvision:NAME){_near(source)}",
            where=source,
        )
    content = load_tensors(path)
    if "wsi_embed" in content:
        return read_run(path, content, given)
    if is_clusiam(content):
        return read_clusiam(path, content, given)
    raise UsageError(
        "neither a checkpoint of wsi-embed train nor of the CluSiam repository; for the "
        f"weights of an architecture: wsi-embed export timm:NAME --weights {path.name}",
        where=path.name,
    )


def _near(source: str | Path) -> str:
    """Return a hint at presets with a similar name, with the sign before it."""
    near = difflib.get_close_matches(str(source).lower(), presets(), n=3, cutoff=0.7)
    return f"; near presets: {', '.join(near)}" if near else ""
