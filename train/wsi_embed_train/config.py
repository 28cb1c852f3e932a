"""Settings of a training run."""

from __future__ import annotations

import math
import typing
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from wsi_embed.errors import UsageError
from wsi_embed.util.registry import unknown_name
from wsi_embed.util.text import argument, counted
from wsi_embed_train.devices import check_devices
from wsi_embed_train.methods import method_settings
from wsi_embed_train.ranges import CHOICES, RANGES
from wsi_embed_train.values import nearest, numbers, parse


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of a training run. `recipes/*.yaml` are presets; docs/training.md explains them.

    The settings from `feat_size` on belong to methods. A method uses those that its constructor takes; the
    others are None.

    Attributes:
        method: One of `METHODS`.
        backbone: Name of a torchvision or timm model.
        tile_px: Side of a view, pixels.
        mpp: Micrometres per pixel of the tiles. Tiles of slides are read at this resolution; for tile images
            it is only recorded in the exported model. None if unknown.
        tissue: Tissue recipe for slides: `otsu`, `otsu-local`, `hsv` or `none` (docs/tissue.md).
        min_tissue: Minimum share of tissue in a tile of a slide, 0 to 1.
        region_tiles: Maximum number of neighbouring tiles of a slide that are read together.
        reader: Slide reader: `auto`, `openslide`, `tiff`, `dicom`, `zarr` or `fastslide` (docs/formats.md).
        crop_scale: Minimum and maximum area of the random resized crop, as a share of the tile.
        jitter: Strength of brightness, contrast, saturation and hue.
        jitter_p: Probability of the jitter.
        grey_p: Probability of greyscale.
        blur_sigma: Minimum and maximum radius of the blur, pixels.
        blur_p: Probability of the blur.
        flip_p: Probability of the horizontal flip.
        vflip_p: Probability of the vertical flip.
        stain: Maximum change of the stain concentrations, as a factor and as a shift; 0 switches it off.
        stain_p: Probability of the stain augmentation.
        mean: RGB mean of the normalisation, in [0, 1]; empty for that of the initial weights, or else of the
            data.
        std: RGB standard deviation of the normalisation, in [0, 1]; empty as for `mean`.
        init_share: Minimum share of the backbone's tensors that the initial weights must fit.
        freeze: Part of the backbone that keeps the initial weights: `all`; the number of stages, counted from
            the input; or names of modules, separated by commas. Empty for none.
        layer_decay: Factor on the learning rate from each stage of the backbone to the one before it.
        optimizer: `sgd` or `adamw`.
        epochs: Number of passes over all tiles.
        batch_size: Number of tiles in a step, over all processes.
        lr: Learning rate for a batch of 256. It is scaled linearly with the batch size and decays with a
            cosine per epoch.
        momentum: Momentum of SGD; first beta of AdamW.
        weight_decay: Weight decay of the optimizer.
        exclude_norm_bias: Whether norms and biases are exempt from weight decay.
        warmup_epochs: Epochs of linear warm-up before the cosine.
        accumulate: Number of parts into which a batch is split to save memory. Clusters and batch norms are
            computed per part.
        devices: `auto`, `cpu`, `cpu:N`, `cuda` or a number of GPUs.
        precision: `32`, `bf16` or `16` (mixed).
        workers: Number of decoding processes for each training process.
        seed: Seed of all random numbers.
        log_steps: Interval between rows of `metrics.csv` and between checks of the collapse monitor, steps.
        save_steps: Interval between writes of `last.ckpt` within an epoch, steps.
        keep_epochs: Interval between checkpoints that are kept permanently, epochs.
        knn_epochs: Interval between evaluations on the labelled tiles of `--knn`, epochs.
        feat_size: Width D of the projection.
        projector_hidden: Hidden width of the projector.
        predictor_hidden: Hidden width of the predictor.
        predictor_lr: Factor on the learning rate of the predictor.
        fix_pred_lr: Whether the learning rate of the predictor stays constant.
        clusters: Number of clusters K, the outputs of the cluster assigner.
        cluster_lr: Factor on the learning rate of the cluster head.
        gumbel_noise: Scale of the Gumbel noise on the cluster logits.
        alpha: Weight of the cluster term; the invariance term has 1 - alpha.
        ema: Momentum of the target network at the start.
        ema_end: Momentum of the target network at the end, reached by half a cosine; None: constant.
        temperature: Temperature of the contrastive loss, and of the student of DINO.
        redundancy: Weight of the off-diagonal terms of Barlow Twins.
        prototypes: Number of prototypes of SwAV; number of outputs of DINO's head.
        sinkhorn_epsilon: Smoothness of SwAV's assignments.
        sinkhorn_iterations: Number of iterations that balance SwAV's assignments.
        freeze_prototypes: Share of the run, from its start, in which the prototypes are frozen.
        queue: Number of projections of earlier tiles in the queue.
        queue_from: Share of the run after which SwAV uses its queue.
        concepts: Number of prototypes of each clustering of PCL.
        concepts_from: Share of the run after which PCL uses prototypes.
        teacher_sees: Input of the teacher of a distillation: `view`, the view of the student, or `tile`, the
            whole tile without augmentation.
        relational: Weight of the similarities between tiles in a distillation.
        cluster_weight: Weight of the clusters of the teacher in a distillation; 0: no cluster head.
        teacher_temp: Temperature of the teacher of DINO at the start and after its warm-up.
        teacher_temp_warmup: Share of the run in which that temperature changes from the first to the second.
        local_crops: Number of local crops of DINO, beside the two global views.
        local_px: Side of a local crop, pixels.
        local_scale: Minimum and maximum area of a local crop, as a share of the tile.
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
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    init_share: float = 0.9
    freeze: str = ""
    layer_decay: float = 1.0
    optimizer: str = "sgd"
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
    cluster_lr: float | None = None
    gumbel_noise: float | None = None
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
    teacher_sees: str | None = None
    relational: float | None = None
    cluster_weight: float | None = None
    teacher_temp: tuple[float, float] | None = None
    teacher_temp_warmup: float | None = None
    local_crops: int | None = None
    local_px: int | None = None
    local_scale: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) is not None and getattr(self, name) not in allowed:
                raise unknown_name(name, str(getattr(self, name)), allowed)
        if self.lr <= 0:
            raise self._wrong("lr", "above 0 is expected")
        for name, (low, high) in RANGES.items():
            if not all(low <= number <= high for number in numbers(getattr(self, name))):
                limits = f"{low:g} to {high:.10g}" if high < math.inf else f"{low:g} or more"
                raise self._wrong(name, f"{limits} is expected")
        for name in ("crop_scale", "blur_sigma", "local_scale"):
            low, high = getattr(self, name) or (0, 0)
            if low > high:
                raise self._wrong(name, "the minimum must come first")
        if len(self.mean) != len(self.std) or len(self.mean) not in (0, 3):
            name = "mean" if self.mean else "std"
            raise self._wrong(name, "three numbers are expected for each of mean and std")
        if self.optimizer == "adamw" and self.momentum >= 1:
            raise self._wrong("momentum", "below 1 is expected for adamw")
        if self.jitter[3] > 0.5:
            raise self._wrong("jitter", "a hue of 0 to 0.5 is expected")
        if self.warmup_epochs >= self.epochs:
            raise UsageError(
                f"fewer than {counted(self.epochs, 'epoch')} are expected",
                where=argument("warmup_epochs", self.warmup_epochs),
                remedy="set fewer epochs of warm-up, or more `epochs=`",
            )
        check_devices(self.devices)
        self._check_method_settings()

    def _wrong(self, name: str, what: str) -> UsageError:
        return UsageError(what, where=argument(name, getattr(self, name)))

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
        """Build a config from plain values.

        Args:
            values: Settings by name, as in a YAML recipe.

        Raises:
            UsageError: If a name is unknown or missing, or a value has the wrong type or is out of range.
        """
        known = {f.name: f for f in fields(cls)}
        if wrong := sorted(values.keys() - known):
            raise UsageError(f"unknown training setting {wrong[0]!r}", remedy=nearest(wrong[0], known))
        required = {name for name, field in known.items() if field.default is MISSING}
        if missing := sorted(required - values.keys()):
            raise UsageError(f"training setting {missing[0]!r} is missing")
        kinds = typing.get_type_hints(cls)
        return cls(**{name: parse(name, kinds[name], value) for name, value in values.items()})

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values for `config.yaml` and the checkpoint, without unused ones."""
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return {k: v for k, v in plain.items() if v is not None or k not in _OF_METHODS}


_OF_METHODS = frozenset(f.name for f in fields(TrainConfig) if f.default is None)
