"""Train an encoder: source, module, callbacks, run folder."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch.utils.data import DataLoader

from wsi_embed.errors import UsageError
from wsi_embed.util.cpu import cpu_count
from wsi_embed_train import callbacks as cb
from wsi_embed_train.config import TrainConfig
from wsi_embed_train.curves import draw_curves
from wsi_embed_train.data import TrainingTiles, open_tiles
from wsi_embed_train.devices import Devices, choose_devices, per_process
from wsi_embed_train.labelled import LabelledSet, read_labelled
from wsi_embed_train.listener import Listener
from wsi_embed_train.methods import METHODS
from wsi_embed_train.metrics_file import mean_row, read_metrics
from wsi_embed_train.module import Training
from wsi_embed_train.run_folder import RunFolder, check_data
from wsi_embed_train.sampler import TileSampler
from wsi_embed_train.trainer import make_trainer, quiet, rank_here, where


def train(
    source: Path,
    run: Path,
    config: TrainConfig,
    *,
    split: str | None = None,
    knn: Path | None = None,
    resume: bool = False,
    on_collapse: str = "warn",
    listener: Listener | None = None,
    stop: threading.Event | None = None,
) -> Path:
    """Train an encoder and leave a run folder behind.

    Args:
        source: Slides or tile images: a file, a folder (any depth), or a CSV with a column `path`; for a
            method that needs labels a CSV with a column `label` too.
        run: The run folder to make: `config.yaml`, `checkpoints/`, `metrics.csv`, `tensorboard/`,
            `curves.png`, `summary.json`.
        config: Settings, from `load_recipe`.
        split: With a CSV: take the rows with this value in the column `split`.
        knn: A CSV of labelled tiles (`path`, `label`, `split`) to evaluate the features on between epochs;
            it decides about `best.ckpt`, and else the effective rank does.
        resume: Go on from `checkpoints/last.ckpt` of an interrupted run, at its step.
        on_collapse: `warn`, or `stop` the run with the last healthy checkpoint as its last.
        listener: Hears how it goes.
        stop: When set, the run saves after the step in hand, and ends.

    Returns:
        Path of the last checkpoint.

    Raises:
        UsageError: Nothing to train on, or the run folder is in the way.
        DeviceError: A GPU was asked for and is not there.
        DivergedError: The loss is no number any more.
        CollapseError: The training collapsed, and `on_collapse` is `stop`.
        Stopped: `stop` was set; `resume` goes on at the same step.
        WsiEmbedError: More than 1 % of the tiles cannot be read.
    """
    if on_collapse not in ("warn", "stop"):
        raise UsageError(f"--on-collapse {on_collapse}: choose warn or stop")
    stop = stop or threading.Event()
    # of several processes the first alone is heard
    listener = Listener() if listener is None or rank_here() else listener
    devices = choose_devices(config.devices, config.precision, torch.cuda.device_count())
    batch = per_process(config.batch_size, devices.processes, config.accumulate)
    folder = RunFolder(run)
    before = folder.check(config, resume)
    labelled = read_labelled(knn) if knn else None
    L.seed_everything(config.seed, workers=True, verbose=False)
    tiles = open_tiles(source, config, split=split, labelled=METHODS.get(config.method).needs_labels)
    data = tiles.about()
    if before is not None:
        check_data(folder, before, data)
    if len(tiles) < config.batch_size:
        raise UsageError(
            f"{source} has {len(tiles)} tiles, fewer than one batch: use --batch-size {len(tiles)} or less"
        )
    for text in tiles.warnings:
        listener.warned(text)
    loader, sampler = _loader(config, tiles, batch, devices)
    module = Training(config, data, sampler)
    watching = _callbacks(folder, config, data, labelled, on_collapse, listener, stop, devices)
    started = time.monotonic()
    with quiet():
        trainer = make_trainer(config, devices, run, watching)
        if trainer.is_global_zero:
            folder.begin(config)
        try:
            trainer.fit(module, loader, ckpt_path=folder.last if resume else None, weights_only=True)
        finally:
            if trainer.is_global_zero:
                _draw(run, config)
    if trainer.is_global_zero:
        _write_summary(folder, trainer, data, watching, time.monotonic() - started)
    return folder.last


def _loader(
    config: TrainConfig, tiles: TrainingTiles, batch: int, devices: Devices
) -> tuple[DataLoader[Any], TileSampler]:
    rank = rank_here()
    workers = min(config.workers, cpu_count())  # more would only wait for each other
    sampler = TileSampler(
        tiles.groups, batch, config.seed, rank=rank, processes=devices.processes, accumulate=config.accumulate
    )
    loader: DataLoader[Any] = DataLoader(
        tiles,
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=tiles.collate,
        persistent_workers=workers > 0,
        # spawned: a fork after a library has started threads can deadlock
        multiprocessing_context="spawn" if workers else None,
        pin_memory=devices.accelerator == "gpu",
        # of its own: otherwise making a loader would draw from the numbers that a resumed run goes on with
        generator=torch.Generator().manual_seed(config.seed),
    )
    return loader, sampler


def _callbacks(
    folder: RunFolder,
    config: TrainConfig,
    data: dict[str, Any],
    labelled: LabelledSet | None,
    on_collapse: str,
    listener: Listener,
    stop: threading.Event,
    devices: Devices,
) -> list[L.Callback]:
    """In the order in which they look: figures first, then their record, then checkpoints, then a stop."""
    every = config.log_steps
    checkpoints = cb.Checkpoints(folder.checkpoints, config.save_steps, config.keep_epochs, config.precision)
    monitor = cb.CollapseMonitor(
        every,
        config.clusters,
        on_collapse == "stop",
        checkpoints,
        judges=labelled is None,
        on_warning=listener.warned,
    )
    knn = [cb.OnlineKnn(labelled, config.knn_epochs, checkpoints)] if labelled else []
    unreadable = cb.UnreadableTiles(data["tiles"])
    how = f"{config.method} on {data['tiles']} tiles, batch {config.batch_size}, {where(config, devices)}"
    record = cb.Recorder(folder.path, every, listener, how)
    stopping = cb.StopOnRequest(stop, checkpoints)
    return [unreadable, cb.FiniteLoss(every, config.precision), *knn, monitor, record, checkpoints, stopping]


def _draw(run: Path, config: TrainConfig) -> None:
    if (run / "metrics.csv").exists():
        draw_curves(run / "metrics.csv", run / "curves.png", f"{config.method}, {run.name}")


def _write_summary(
    folder: RunFolder, trainer: L.Trainer, data: dict[str, Any], callbacks: list[L.Callback], seconds: float
) -> None:
    rows = read_metrics(folder.path / "metrics.csv")
    found = {type(callback): callback for callback in callbacks}
    checkpoints, unreadable = found[cb.Checkpoints], found[cb.UnreadableTiles]
    assert isinstance(checkpoints, cb.Checkpoints)
    assert isinstance(unreadable, cb.UnreadableTiles)
    folder.write_summary(
        {
            "epochs": trainer.current_epoch,
            "steps": trainer.global_step,
            "seconds": round(seconds, 1),
            "data": {name: value for name, value in data.items() if name != "image_digests"},
            "unreadable": sorted(unreadable.names),
            "best": checkpoints.best,
            "last": mean_row([row for row in rows if row["epoch"] == trainer.current_epoch]),
        }
    )
