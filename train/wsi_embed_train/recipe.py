"""Recipes: settings of a training run in a YAML file, in which every value can be overridden."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import fields
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from wsi_embed.errors import UsageError
from wsi_embed.util.text import argument
from wsi_embed_train.config import TrainConfig
from wsi_embed_train.values import nearest


def load_recipe(name: str, /, **overrides: Any) -> TrainConfig:
    """Load the settings of a training run from a recipe.

    Args:
        name: Name of a recipe of the package, such as `clubyol`, or path of a YAML file with settings.
        overrides: Settings that replace those of the recipe. `None` keeps the value of the recipe.

    Returns:
        The settings.

    Raises:
        UsageError: If there is no such recipe, or a setting is wrong.

    Example:
        >>> from wsi_embed_train import load_recipe
        >>> config = load_recipe("clubyol", mpp=0.5, epochs=100)
        >>> config.method, config.mpp, config.epochs
        ('clubyol', 0.5, 100)
    """
    folder = resources.files("wsi_embed_train") / "recipes"
    shipped = folder / f"{name}.yaml"
    path = shipped if shipped.is_file() else Path(name)
    if not path.is_file():
        names = sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))
        raise UsageError(
            "no such recipe, and no such YAML file",
            where=argument("recipe", name),
            remedy=nearest(name, names),
        )
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(
            f"not readable as YAML ({str(error).splitlines()[0]})", where=f"recipe {name}"
        ) from error
    if not isinstance(values, dict):
        raise UsageError("expected `setting: value` lines", where=f"recipe {name}")
    values.update({k: v for k, v in overrides.items() if v is not None})
    return TrainConfig.from_dict(values)


class _Loader(yaml.SafeLoader):
    """YAML as of version 1.2 for numbers: `1e-5` is a number, and text only in quotes."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+\Z"), list("-+.0123456789")
)


def parse_settings(pairs: Iterable[str]) -> dict[str, Any]:
    """Parse `KEY=VALUE` pairs, with YAML values.

    Args:
        pairs: Texts such as `alpha=0.9` or `crop_scale=[0.2, 1.0]`.

    Returns:
        Values by key.

    Raises:
        UsageError: If a pair has no `=`, its value is not YAML, or a key has two different values.

    Example:
        >>> from wsi_embed_train import parse_settings
        >>> parse_settings(["alpha=0.9", "crop_scale=[0.2, 1.0]"])
        {'alpha': 0.9, 'crop_scale': [0.2, 1.0]}
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.strip():
            raise UsageError(
                "give KEY=VALUE, as in `settings=['alpha=0.9']`", where=argument("settings", [pair])
            )
        try:
            value = yaml.load(text, Loader=_Loader)
        except yaml.YAMLError as error:
            raise UsageError(f"{text!r} is not a YAML value", where=argument("settings", [pair])) from error
        if value is None:
            raise UsageError("give a value", where=argument("settings", [pair]))
        kept = found.setdefault(name.strip(), value)
        if kept is not value and kept != value:  # NaN does not equal itself
            raise UsageError(
                f"{argument('settings', [name.strip()])} is given twice, with different values",
                remedy="keep one",
            )
    return found


def settings_of_run(values: dict[str, Any]) -> TrainConfig:
    """Return the settings of a run of this or an earlier version, for reading only.

    Settings that an earlier version did not have are taken from the recipe of the method.

    Args:
        values: Contents of the run's `config.yaml`.
    """
    known = {f.name for f in fields(TrainConfig)}
    recipe = load_recipe(values["method"]).to_dict()
    return TrainConfig.from_dict(recipe | {name: v for name, v in values.items() if name in known})
