"""Parsing of a tissue recipe from `--tissue` and `--tissue-set`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from wsi_embed.errors import UsageError
from wsi_embed.tissue.recipe import TissueRecipe, as_text
from wsi_embed.tissue.setting_values import convert_value, expected_values
from wsi_embed.util.text import argument


def parse_recipe(text: str, settings: Sequence[str] | Mapping[str, Any] = ()) -> TissueRecipe:
    """Create a recipe from its name and settings.

    Args:
        text: Name of a recipe, or `model:FILE` for a segmentation network in ONNX.
        settings: Texts `key=value`, or a mapping; see `TissueRecipe` for the keys.

    Raises:
        UsageError: If there is no such recipe, or a setting does not belong to it or is out of range.
        ModelError: If the file is not a network that follows the contract.

    Example:
        >>> from wsi_embed.tissue import parse_recipe
        >>> parse_recipe("otsu", ["min_chroma=5", "pen=off"]).min_chroma
        5.0
    """
    name, _, file = text.partition(":")
    if name != "model" or not file:
        return TissueRecipe(name, **_values(TissueRecipe(name), settings))
    from wsi_embed.tissue.network import load_network  # imports ONNX Runtime

    network = load_network(Path(file))
    stated = TissueRecipe(
        "model", sha256=network.sha256, model=network.path.name, path=network.path, **network.defaults
    )
    given = _values(stated, settings)
    network.check_settings(given)
    recipe = dataclasses.replace(stated, **given)
    if recipe.keep and (idle := [key for key in ("channel", "threshold") if key in given]):
        raise UsageError(
            f"without effect beside keep={','.join(recipe.keep)}: each pixel is of its most probable class",
            where=argument("tissue_set", idle),
            remedy="leave one of them out",
        )
    if recipe.keep and set(recipe.keep) == set(recipe.classes):
        raise UsageError(
            "is every class, so that the whole slide would be tissue",
            where=argument("tissue_set", [f"keep={','.join(recipe.keep)}"]),
            remedy="name those that are tissue only; a network of one class has a `threshold`, no `classes`",
        )
    network.try_out(recipe, channel_given=bool(recipe.keep) or "channel" in {**network.defaults, **given})
    if "classes" in given and not recipe.keep:
        raise UsageError(
            "without effect unless `keep` names those that are tissue",
            where=argument("tissue_set", ["classes"]),
            remedy="name them, or leave `classes` out",
        )
    return recipe


def _values(recipe: TissueRecipe, settings: Sequence[str] | Mapping[str, Any]) -> dict[str, Any]:
    pairs: Iterable[tuple[str, Any]]
    pairs = settings.items() if isinstance(settings, Mapping) else [_pair(recipe, text) for text in settings]
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key not in recipe.used:
            what = f"{recipe.name} has no such setting" if recipe.used else _listing(recipe)
            raise UsageError(
                what, where=argument("tissue_set", [key]), remedy=_listing(recipe) if recipe.used else None
            )
        try:
            converted = convert_value(value, getattr(recipe, key))
        except (ValueError, TypeError, OverflowError):
            raise UsageError(
                expected_values(getattr(recipe, key)),
                where=argument("tissue_set", {key: as_text(value)}),
                remedy=_listing(recipe),
            ) from None
        if found.setdefault(key, converted) != converted:
            raise UsageError(
                f"{argument('tissue_set', [key])} is given twice, with different values", remedy="keep one"
            )
    try:
        dataclasses.replace(recipe, **found)
    except UsageError as error:
        raise error.replace(remedy=_listing(recipe)) from None
    return found


def _pair(recipe: TissueRecipe, text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError("expected key=value", where=argument("tissue_set", [text]), remedy=_listing(recipe))
    return key.strip(), value.strip()


def _listing(recipe: TissueRecipe) -> str:
    if not recipe.used:
        return f'tissue recipe "{recipe.name}" has no settings'
    return f"{recipe.name} has " + ", ".join(f"{key}={as_text(getattr(recipe, key))}" for key in recipe.used)
