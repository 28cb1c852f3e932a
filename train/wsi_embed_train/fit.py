"""Train an encoder: data, Lightning module, trainer, run folder."""

from __future__ import annotations

import contextlib
import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import torch
import yaml
from lightning.pytorch.callbacks import ModelCheckpoint
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from wsi_embed.errors import DeviceError, UsageError
from wsi_embed_train.augment import TwoViews
from wsi_embed_train.config import TrainConfig
from wsi_embed_train.data import UNSHIFTED, TrainingTiles, open_tiles
from wsi_embed_train.methods import METHODS, build_method
from wsi_embed_train.monitor import CollapseMonitor, FiniteLoss, MetricsFile, epoch_means
from wsi_embed_train.schedule import learning_rate_factor

PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}
# Warnings of Lightning that a user can do nothing about.
NOT_NEWS = (
    "does not have many workers",
    "logging interval",
    r"isinstance\(treespec, LeafSpec\)",
    "GPU available but not used",
    "Checkpoint directory .* exists",
)


class Training(L.LightningModule):
    """A method under Lightning: SGD, learning rate scaled by batch, cosine decay per epoch.

    Args:
        config: Settings of the run.
        data: What the export needs to know of the data: `mean`, `std`, `tiles`, `source`, and
            `classes` where there are labels.
    """

    def __init__(self, config: TrainConfig, data: dict[str, Any]) -> None:
        super().__init__()
        self.config, self.data = config, data
        classes = len(data["classes"]) if "classes" in data else None
        self.network = build_method(config, classes).to(memory_format=torch.channels_last)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """One step's loss; its figures are logged as means of the epoch."""
        views, labels = batch if self.network.needs_labels else (batch, None)
        views = [v.contiguous(memory_format=torch.channels_last) for v in views[: self.network.n_views]]
        step = self.network(views, labels)
        figures = {"loss": step.loss.detach(), **step.terms}
        self.log_dict(figures, on_step=False, on_epoch=True, batch_size=len(views[0]))
        self.log("loss_step", step.loss.detach(), prog_bar=True, logger=False)
        loss: Tensor = step.loss
        return loss

    def on_train_epoch_start(self) -> None:
        """Let the method prepare the epoch."""
        self.network.before_epoch(self._progress())

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Let the method see the gradients."""
        self.network.before_step(self._progress())

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Move the target network after every step, as published."""
        self.network.after_step(self._progress())

    def _progress(self) -> float:
        return self.global_step / self.trainer.estimated_stepping_batches

    def configure_optimizers(self) -> Any:
        """SGD over the method's groups; all but those of a fixed rate follow the schedule, per epoch."""
        c = self.config
        lr = c.lr * c.batch_size / 256
        groups = self.network.parameter_groups(c.weight_decay, exclude_norm_bias=c.exclude_norm_bias)
        for group in groups:
            group["lr"] = lr * group["lr_factor"]
        optimizer = torch.optim.SGD(groups, lr=lr, momentum=c.momentum)

        def factor(epoch: int) -> float:
            return learning_rate_factor(epoch, c.epochs, c.warmup_epochs)

        factors = [(lambda epoch: 1.0) if group["fixed_lr"] else factor for group in groups]
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factors)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "epoch"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what the export needs, as plain values."""
        checkpoint["wsi_embed"] = {
            "config": self.config.to_dict(),
            "data": self.data,
            "epochs_done": self.current_epoch + 1,
            "steps": self.global_step,
        }
        checkpoint["rng"] = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            checkpoint["rng"]["cuda"] = torch.cuda.get_rng_state(self.device)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the random numbers of an interrupted run."""
        # before the loader makes its first batch: what the interrupted run would have drawn
        states = checkpoint.get("rng", {})
        if "cpu" in states:
            torch.set_rng_state(states["cpu"])
        if "cuda" in states and torch.cuda.is_available():
            torch.cuda.set_rng_state(states["cuda"])


def train(
    source: Path,
    run: Path,
    config: TrainConfig,
    *,
    split: str | None = None,
    resume: bool = False,
    progress: bool = False,
    on_collapse: str = "warn",
    on_epoch: Callable[[dict[str, float]], None] | None = None,
    on_warning: Callable[[str], None] | None = None,
) -> Path:
    """Train an encoder and leave a run folder behind.

    Args:
        source: A folder of tile images (any depth), or a CSV with a column `path`; for a method that
            needs labels a CSV with a column `label` too.
        run: The run folder to make: `config.yaml`, `checkpoints/last.ckpt`, `metrics.csv`,
            `summary.json`.
        config: Settings, from `load_recipe`.
        split: With a CSV: take the rows with this value in the column `split`.
        resume: Go on from `checkpoints/last.ckpt` of an interrupted run.
        progress: Show Lightning's progress bar.
        on_collapse: `warn`, or `stop` the run with the last whole epoch as its last checkpoint.
        on_epoch: Called after every epoch with its row of `metrics.csv`.
        on_warning: Told of a collapse that is under way.

    Returns:
        Path of the last checkpoint.

    Raises:
        UsageError: Nothing to train on, or the run folder is in the way.
        DeviceError: CUDA was asked for and is not there.
        DivergedError: The loss is no number any more.
        CollapseError: The training collapsed, and `on_collapse` is `stop`.
        KeyboardInterrupt: SIGINT; `resume` goes on after the last whole epoch.
    """
    if on_collapse not in ("warn", "stop"):
        raise UsageError(f"--on-collapse {on_collapse}: choose warn or stop")
    last = run / "checkpoints" / "last.ckpt"
    _check_run_folder(run, last, config, resume)
    L.seed_everything(config.seed, workers=True, verbose=False)
    tiles = open_tiles(source, config, split=split, labelled=METHODS[config.method].needs_labels)
    if len(tiles) < config.batch_size:
        raise UsageError(
            f"{source} has {len(tiles)} tiles, fewer than one batch: use --batch-size {len(tiles)} or less"
        )
    data = tiles.about()
    loader = _loader(config, _Views(tiles, TwoViews(config, tiles.mean, tiles.std)))
    module = Training(config, data)
    started = time.monotonic()
    run.mkdir(parents=True, exist_ok=True)
    (run / "config.yaml").write_text(yaml.safe_dump(config.to_dict(), sort_keys=False), "utf-8")
    try:
        with _quiet():
            health = CollapseMonitor(run / "health.csv", config.clusters, on_collapse == "stop", on_warning)
            watching = [FiniteLoss(config.precision), health]
            trainer = _trainer(config, progress, [*watching, *_callbacks(run, on_epoch)])
            trainer.fit(module, loader, ckpt_path=last if resume else None, weights_only=True)
    except SystemExit as ended:  # how Lightning answers SIGINT
        raise KeyboardInterrupt from ended
    _write_summary(run, trainer, data, time.monotonic() - started)
    return last


class _Views(Dataset[Any]):
    """Tiles through the augmentation, with their class where there are labels."""

    def __init__(self, tiles: TrainingTiles, transform: TwoViews) -> None:
        self.tiles, self.transform = tiles, transform

    def __len__(self) -> int:
        return len(self.tiles)

    def __getitem__(self, number: int) -> Any:
        sample = self.tiles[number, UNSHIFTED]
        views = self.transform(Image.fromarray(sample.tile))
        return views if sample.label is None else (views, sample.label)


def _check_run_folder(run: Path, last: Path, config: TrainConfig, resume: bool) -> None:
    if resume and not last.is_file():
        raise UsageError(f"{run}: nothing to resume, there is no {last.name} in checkpoints/")
    if resume:
        before = torch.load(last, map_location="cpu", weights_only=True)["wsi_embed"]["config"]
        now = config.to_dict()
        free = {"devices", "workers"}  # may change without changing what is learned
        for name in ["method", *sorted((now.keys() | before.keys()) - free)]:  # the method says most
            if before.get(name) != now.get(name):
                raise UsageError(
                    f"{run} was trained with {name} = {before.get(name)}, not {now.get(name)}: "
                    "resume with the same settings or start another run"
                )
    elif last.exists():
        raise UsageError(f"{run} holds a run already: choose another --out, or add --resume")


def _loader(config: TrainConfig, dataset: Dataset[Any]) -> DataLoader[Any]:
    return DataLoader(
        dataset,
        batch_size=config.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=config.workers,
        persistent_workers=config.workers > 0,
        # spawned: a fork after a library has started threads can deadlock
        multiprocessing_context="spawn" if config.workers else None,
        pin_memory=torch.cuda.is_available(),
    )


def _callbacks(run: Path, on_epoch: Callable[[dict[str, float]], None] | None) -> list[L.Callback]:
    # without a monitor the newest is kept: one file, after every epoch
    newest = ModelCheckpoint(run / "checkpoints", filename="last", save_top_k=1, enable_version_counter=False)
    return [MetricsFile(run / "metrics.csv", on_epoch), newest]


def _trainer(config: TrainConfig, progress: bool, callbacks: list[L.Callback]) -> L.Trainer:
    if config.devices == "cuda" and not torch.cuda.is_available():
        raise DeviceError("--devices cuda: PyTorch sees no CUDA device; use --devices cpu or auto")
    gpu = config.devices != "cpu" and torch.cuda.is_available()
    return L.Trainer(
        accelerator="gpu" if gpu else "cpu",
        devices=1,
        precision=PRECISIONS[config.precision],  # type: ignore[arg-type]
        max_epochs=config.epochs,
        logger=False,
        enable_progress_bar=progress,
        enable_model_summary=False,
        callbacks=callbacks,
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Lightning announces devices and tips, and warns of choices that are meant."""
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for text in NOT_NEWS:
                warnings.filterwarnings("ignore", f".*{text}")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _write_summary(run: Path, trainer: L.Trainer, data: dict[str, Any], seconds: float) -> None:
    summary = {
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "seconds": round(seconds, 1),
        "data": data,
        "last": epoch_means(trainer),
    }
    (run / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", "utf-8")
