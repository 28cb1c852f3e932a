"""What a training run is made of: a recipe (YAML) with every value overridable."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from wsi_embed.errors import UsageError


@dataclass(frozen=True)
class TrainConfig:
    """One training run's settings. `recipes/*.yaml` documents and presets them."""

    method: str
    backbone: str
    tile_px: int
    mpp: float | None
    feat_size: int
    predictor_hidden: int
    clusters: int
    alpha: float
    ema: float
    crop_scale: tuple[float, float]
    jitter: tuple[float, float, float, float]
    jitter_p: float
    grey_p: float
    blur_sigma: tuple[float, float]
    blur_p: float
    flip_p: float
    epochs: int
    batch_size: int
    lr: float
    momentum: float
    weight_decay: float
    devices: str
    precision: str
    workers: int
    seed: int

    def __post_init__(self) -> None:
        checks = {
            "alpha": 0 <= self.alpha <= 1,
            "batch_size": self.batch_size >= 2,
            "clusters": self.clusters >= 2,
            "epochs": self.epochs >= 1,
            "lr": self.lr > 0,
            "mpp": self.mpp is None or 0.05 <= self.mpp <= 20,
            "precision": self.precision in ("32", "bf16", "16"),
            "devices": self.devices in ("auto", "cpu", "cuda"),
            "tile_px": self.tile_px >= 32,
            "workers": self.workers >= 0,
        }
        for name, good in checks.items():
            if not good:
                raise UsageError(f"training setting {name} = {getattr(self, name)!r} makes no sense")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainConfig:
        """Build a config from plain values, refusing unknown and missing names.

        Raises:
            UsageError: A name is unknown or missing, or a value is out of range.
        """
        known = {f.name for f in fields(cls)}
        if wrong := sorted(values.keys() - known):
            raise UsageError(f"unknown training setting {wrong[0]!r}; {_nearest(wrong[0], known)}")
        if missing := sorted(known - values.keys()):
            raise UsageError(f"training setting {missing[0]!r} is missing")
        hints = get_type_hints(cls)
        return cls(**{name: _typed(name, value, hints[name]) for name, value in values.items()})

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they go into `config.yaml` and the checkpoint."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def _typed(name: str, value: Any, hint: Any) -> Any:
    """A value as the setting's type has it; YAML gives lists for tuples, and text for 5e-2.

    Raises:
        UsageError: It is of another type.
    """
    parts = get_args(hint)
    try:
        if type(None) in parts:
            return None if value is None else _typed(name, value, parts[0])
        if get_origin(hint) is tuple:
            if isinstance(value, str) or len(value) != len(parts):
                raise ValueError
            return tuple(_typed(name, item, part) for item, part in zip(value, parts, strict=True))
        if value is None or isinstance(value, bool) or (hint is int and float(value) != int(float(value))):
            raise ValueError
        return int(float(value)) if hint is int else hint(value)
    except (TypeError, ValueError, OverflowError) as error:
        what = {int: "a whole number", float: "a number", str: "a name"}.get(hint, f"{len(parts)} numbers")
        raise UsageError(f"training setting {name} = {value!r} makes no sense: {what} is expected") from error


def shipped_recipes() -> set[str]:
    """Names of the recipes that come with the package."""
    folder = resources.files("wsi_embed_train") / "recipes"
    return {Path(file.name).stem for file in folder.iterdir() if file.name.endswith(".yaml")}


def parse_settings(items: Sequence[str]) -> dict[str, Any]:
    """Settings from `key=value`, the value as YAML reads it: `crop_scale=[0.3,1]`.

    Raises:
        UsageError: There is no `=`, no key, or the value is not YAML.
    """
    settings: dict[str, Any] = {}
    for item in items:
        key, mark, text = item.partition("=")
        if not mark or not key.strip():
            raise UsageError(f"--set {item}: KEY=VALUE is expected, as in --set ema=0.996")
        try:
            settings[key.strip()] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UsageError(
                f"--set {item}: the value is not YAML ({' '.join(str(error).split())})"
            ) from error
    return settings


def _nearest(name: str, known: Iterable[str]) -> str:
    """What was probably meant, and else all there is."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(names)}"


def load_recipe(name: str, **overrides: Any) -> TrainConfig:
    """Load a recipe shipped with the package (`clubyol`) or a YAML file.

    Args:
        name: A shipped recipe's name, or the path of a YAML file with the same settings.
        overrides: Settings that replace the recipe's; `None` leaves the recipe's value.

    Raises:
        UsageError: There is no such recipe, or a setting is wrong.
    """
    shipped = resources.files("wsi_embed_train") / "recipes" / f"{name}.yaml"
    path = shipped if shipped.is_file() else Path(name)
    if not path.is_file():
        raise UsageError(
            f"no recipe {name!r}: give a YAML file or a shipped one; {_nearest(name, shipped_recipes())}"
        )
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"recipe {name}: not YAML ({' '.join(str(error).split())})") from error
    if not isinstance(values, dict):
        raise UsageError(f"recipe {name}: expected `setting: value` lines")
    values.update({k: v for k, v in overrides.items() if v is not None})
    return TrainConfig.from_dict(values)
