"""What a training run is made of: a recipe (YAML) with every value overridable."""

from __future__ import annotations

import math
import typing
from collections.abc import Iterable
from dataclasses import MISSING, asdict, dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from wsi_embed.errors import UsageError
from wsi_embed_train.devices import check_devices
from wsi_embed_train.methods import method_settings
from wsi_embed_train.ranges import CHOICES, RANGES
from wsi_embed_train.values import nearest, numbers, parse


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run's settings. `recipes/*.yaml` presets them; docs/training.md explains them.

    The settings below `seed` belong to methods: each uses those that its constructor takes, and the
    others are None.

    Attributes:
        method: One of `METHODS`.
        backbone: A torchvision or timm model by name.
        tile_px: Side of a view, pixels.
        mpp: Micrometres per pixel of the tiles: those of slides are drawn at it, of tile images it is told
            to the exported model; None where it is not known.
        tissue: How tissue is found on slides: `otsu`, `otsu-local`, `hsv` or `none` (docs/tissue.md).
        min_tissue: Tiles of slides with a smaller share of tissue are left out.
        region_tiles: Most neighbouring tiles of a slide that are read together.
        reader: Who reads slides: `auto`, `openslide` or `tiff` (docs/formats.md).
        crop_scale: Least and greatest area of the random resized crop.
        jitter: Strength of brightness, contrast, saturation and hue.
        jitter_p: Probability of the jitter.
        grey_p: Probability of greyscale.
        blur_sigma: Least and greatest radius of the blur, pixels.
        blur_p: Probability of the blur.
        flip_p: Probability of the horizontal flip.
        vflip_p: Probability of the vertical flip.
        stain: Greatest change of the stains' concentrations, as a factor and as a shift; 0: none.
        stain_p: Probability of the stain augmentation.
        epochs: Times that every tile is seen.
        batch_size: Tiles of a step.
        lr: Learning rate for a batch of 256; scaled by the batch, cosine decay per epoch.
        momentum: Of SGD.
        weight_decay: Of SGD.
        exclude_norm_bias: No weight decay on norms and biases.
        warmup_epochs: Epochs of linear warm-up before the cosine.
        accumulate: Parts that a batch is taken in, to save memory; clusters and batch norms are of a part.
        devices: `auto`, `cpu`, `cpu:N`, `cuda` or a number of GPUs.
        precision: `32`, `bf16` or `16` (mixed).
        workers: Decoding processes of each training process.
        seed: Of everything random.
        log_steps: Steps from row to row of `metrics.csv`, and from look to look of the collapse monitor.
        save_steps: Steps after which `last.ckpt` is written within an epoch.
        keep_epochs: Epochs after which a checkpoint is kept for good.
        knn_epochs: Epochs from one evaluation of `--knn` to the next.
        feat_size: Width D of the projection.
        projector_hidden: Hidden width of the projector.
        predictor_hidden: Hidden width of the predictor.
        predictor_lr: Learning rate of the predictor, as a factor.
        fix_pred_lr: The predictor's learning rate stays constant.
        clusters: K, outputs of the cluster assigner.
        alpha: Weight of the cluster term; the invariance term has 1 - alpha.
        ema: Momentum of the target network, at the start.
        ema_end: Momentum at the end, reached by half a cosine; None: constant.
        temperature: Of a contrastive loss.
        redundancy: Weight of Barlow Twins' terms off the diagonal.
        prototypes: Of SwAV.
        sinkhorn_epsilon: Smoothness of SwAV's assignments.
        sinkhorn_iterations: Of SwAV's balancing.
        freeze_prototypes: Part of the run in which SwAV's prototypes do not move.
        queue: Projections of earlier tiles that are kept.
        queue_from: Part of the run after which SwAV uses its queue.
        concepts: Numbers of prototypes of PCL's clusterings.
        concepts_from: Part of the run after which PCL uses prototypes.
    """

    method: str
    backbone: str
    tile_px: int
    mpp: float | None
    tissue: str
    min_tissue: float
    region_tiles: int
    reader: str = "auto"
    crop_scale: tuple[float, float]
    jitter: tuple[float, float, float, float]
    jitter_p: float
    grey_p: float
    blur_sigma: tuple[float, float]
    blur_p: float
    flip_p: float
    vflip_p: float = 0.0
    stain: float = 0.0
    stain_p: float = 1.0
    epochs: int
    batch_size: int
    lr: float
    momentum: float
    weight_decay: float
    exclude_norm_bias: bool = False
    warmup_epochs: int = 0
    accumulate: int = 1
    devices: str
    precision: str
    workers: int
    seed: int
    log_steps: int = 20
    save_steps: int = 500
    keep_epochs: int = 10
    knn_epochs: int = 5

    feat_size: int | None = None
    projector_hidden: int | None = None
    predictor_hidden: int | None = None
    predictor_lr: float | None = None
    fix_pred_lr: bool | None = None
    clusters: int | None = None
    alpha: float | None = None
    ema: float | None = None
    ema_end: float | None = None
    temperature: float | None = None
    redundancy: float | None = None
    prototypes: int | None = None
    sinkhorn_epsilon: float | None = None
    sinkhorn_iterations: int | None = None
    freeze_prototypes: float | None = None
    queue: int | None = None
    queue_from: float | None = None
    concepts: tuple[int, ...] | None = None
    concepts_from: float | None = None

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                wrong = str(getattr(self, name))
                raise UsageError(f"{name} {wrong!r}: {nearest(wrong, allowed)}")
        for name, (low, high) in RANGES.items():
            if not all(low <= number <= high for number in numbers(getattr(self, name))):
                raise UsageError(
                    f"training setting {name} = {getattr(self, name)!r} makes no sense: "
                    f"give {low:g} to {high:g}" + ("" if high < math.inf else " or as much as you like")
                )
        for name in ("crop_scale", "blur_sigma"):
            if getattr(self, name)[0] > getattr(self, name)[1]:
                raise UsageError(
                    f"training setting {name} = {getattr(self, name)!r} makes no sense: least first"
                )
        if self.jitter[3] > 0.5:
            raise UsageError(
                f"training setting jitter = {self.jitter!r} makes no sense: give a hue of 0 to 0.5"
            )
        if self.lr <= 0 or self.warmup_epochs >= self.epochs:
            name, why = ("lr", "above 0") if self.lr <= 0 else ("warmup_epochs", f"fewer than {self.epochs}")
            raise UsageError(f"training setting {name} = {getattr(self, name)!r} makes no sense: give {why}")
        check_devices(self.devices)
        self._check_method_settings()

    def _check_method_settings(self) -> None:
        used = method_settings(self.method)
        for field in fields(self):
            name, given = field.name, getattr(self, field.name) is not None
            if used.get(name) and not given:
                raise UsageError(f"training setting {name!r} is missing, and {self.method} needs it")
            if field.name in _OF_METHODS and given and name not in used:
                raise UsageError(
                    f"{self.method} has no setting {name!r}; of its own it has {', '.join(sorted(used))}"
                )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainConfig:
        """Build a config from plain values, refusing unknown and missing names.

        Raises:
            UsageError: A name is unknown or missing, or a value is of a wrong kind or out of range.
        """
        known = {f.name: f for f in fields(cls)}
        if wrong := sorted(values.keys() - known):
            raise UsageError(f"unknown training setting {wrong[0]!r}: {nearest(wrong[0], known)}")
        required = {name for name, field in known.items() if field.default is MISSING}
        if missing := sorted(required - values.keys()):
            raise UsageError(f"training setting {missing[0]!r} is missing")
        kinds = typing.get_type_hints(cls)
        return cls(**{name: parse(name, kinds[name], value) for name, value in values.items()})

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they go into `config.yaml` and the checkpoint; unused settings are left out."""
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return {k: v for k, v in plain.items() if v is not None or k not in _OF_METHODS}


_OF_METHODS = frozenset(f.name for f in fields(TrainConfig) if f.default is None)


def load_recipe(name: str, /, **overrides: Any) -> TrainConfig:
    """Load a recipe shipped with the package (`clubyol`) or a YAML file.

    Args:
        name: A shipped recipe's name, or the path of a YAML file with the same settings.
        overrides: Settings that replace the recipe's; `None` leaves the recipe's value.

    Raises:
        UsageError: There is no such recipe, or a setting is wrong.
    """
    folder = resources.files("wsi_embed_train") / "recipes"
    shipped = folder / f"{name}.yaml"
    path = shipped if shipped.is_file() else Path(name)
    if not path.is_file():
        names = sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))
        raise UsageError(f"no recipe {name!r}, and no YAML file of that name: {nearest(name, names)}")
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"recipe {name}: not readable as YAML ({str(error).splitlines()[0]})") from error
    if not isinstance(values, dict):
        raise UsageError(f"recipe {name}: expected `setting: value` lines")
    values.update({k: v for k, v in overrides.items() if v is not None})
    return TrainConfig.from_dict(values)


def parse_settings(pairs: Iterable[str]) -> dict[str, Any]:
    """Read `KEY=VALUE` pairs, each value as YAML has it.

    Raises:
        UsageError: A pair has no `=`, its value is not YAML, or a key has two values.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--set {pair}: give KEY=VALUE, as in --set alpha=0.9")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UsageError(f"--set {pair}: {text!r} is not a value as YAML has it") from error
        if value is None:
            raise UsageError(f"--set {pair}: give a value")
        if found.setdefault(name.strip(), value) != value:
            raise UsageError(f"--set {name.strip()} is given twice, with different values; keep one")
    return found


def settings_of_run(values: dict[str, Any]) -> TrainConfig:
    """Settings of a run of this or an earlier version: what they lack comes from the method's recipe.

    For reading a run only; what an earlier version did not say, it did not do as the recipe does now.
    """
    known = {f.name for f in fields(TrainConfig)}
    recipe = load_recipe(values["method"]).to_dict()
    return TrainConfig.from_dict(recipe | {name: v for name, v in values.items() if name in known})
