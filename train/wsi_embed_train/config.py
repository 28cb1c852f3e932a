"""What a training run is made of: a recipe (YAML) with every value overridable."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any

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
            raise UsageError(f"unknown training setting {wrong[0]!r}; known: {', '.join(sorted(known))}")
        if missing := sorted(known - values.keys()):
            raise UsageError(f"training setting {missing[0]!r} is missing")
        tuples = {k: tuple(v) for k, v in values.items() if isinstance(v, list)}
        return cls(**{**values, **tuples, "precision": str(values["precision"])})

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they go into `config.yaml` and the checkpoint."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


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
        raise UsageError(f"no recipe {name!r}: give a shipped one (clubyol) or a YAML file")
    values = yaml.safe_load(path.read_text("utf-8"))
    if not isinstance(values, dict):
        raise UsageError(f"recipe {name}: expected `setting: value` lines")
    values.update({k: v for k, v in overrides.items() if v is not None})
    return TrainConfig.from_dict(values)
