"""Train an encoder: source, module, callbacks, run folder."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch.utils.data import DataLoader

from wsi_embed.errors import Stopped, UsageError
from wsi_embed.util.cpu import cpu_count
from wsi_embed.util.text import argument, counted
from wsi_embed_train import callbacks as cb
from wsi_embed_train.config import TrainConfig
from wsi_embed_train.curves import draw_curves
from wsi_embed_train.data import TrainingTiles, open_tiles
from wsi_embed_train.data.loader import SignalSafeLoader, check_shared_memory
from wsi_embed_train.devices import Devices, choose_devices, per_process
from wsi_embed_train.labelled import LabelledSet, read_labelled
from wsi_embed_train.listener import Listener
from wsi_embed_train.main_guard import check_main_guard
from wsi_embed_train.methods import METHODS
from wsi_embed_train.metrics_file import mean_row, read_metrics
from wsi_embed_train.module import Training
from wsi_embed_train.run_folder import RunFolder, check_data, known_mpp, written_to
from wsi_embed_train.sampler import TileSampler
from wsi_embed_train.teacher import load_teacher, start_teaching
from wsi_embed_train.trainer import make_trainer, quiet, rank_here, where
from wsi_embed_train.weights.start import check_resumed, initial_weights


def train(
    source: str | Path,
    run: str | Path,
    config: TrainConfig,
    *,
    split: str | None = None,
    knn: str | Path | None = None,
    init: str | Path | None = None,
    init_licence: str = "",
    teacher: str | Path | None = None,
    resume: bool = False,
    on_collapse: str = "warn",
    listener: Listener | None = None,
    stop: threading.Event | None = None,
) -> Path:
    """Train an encoder and write a run folder.

    Args:
        source: Slides or tile images: a file, a folder (searched at any depth), or a CSV with a column
            `path`. Methods that need labels need a CSV with a column `label` too.
        run: Run folder to create, with `config.yaml`, `checkpoints/`, `metrics.csv`, `tensorboard/`,
            `curves.png` and `summary.json`.
        config: Settings, from `load_recipe`.
        split: Value of the column `split` of the CSV; other rows are ignored.
        knn: CSV of labelled tiles (`path`, `label`, `split`) on which the features are evaluated between
            epochs. Their score selects `best.ckpt`; without it, the effective rank does.
        init: Weights to start the backbone from: a run folder or a checkpoint of `wsi-embed train`, a
            checkpoint of the CluSiam repository, a state dict or a safetensors file.
        init_licence: Licence of these weights. It is recorded in the run and the exported model.
        teacher: Exported model whose features the encoder learns, for the method `distil`.
        resume: Whether to continue an interrupted run from `checkpoints/last.ckpt`, at the same step.
        on_collapse: Action if the training collapses: `warn`, or `stop` the run and restore the last
            checkpoint from before the collapse.
        listener: Receiver of progress events.
        stop: Event that ends the run. Once it is set, the run finishes the current step, saves and stops.

    Returns:
        Path of the last checkpoint.

    Raises:
        UsageError: If there is nothing to train on, `run` already contains a run, the initial weights do not
            fit the backbone, the method needs another teacher or none, or a script calls this with workers
            at its top level without `if __name__ == "__main__":`.
        DeviceError: If the requested GPUs are not available.
        DivergedError: If the loss becomes NaN or infinite.
        CollapseError: If the training collapses and `on_collapse` is `stop`.
        Stopped: If `stop` was set. The run can be resumed at the same step.
        WsiEmbedError: If more than 1 % of the tiles cannot be read, or the run folder cannot be written.

    Example:
        >>> from wsi_embed_train import load_recipe, train
        >>> config = load_recipe("clubyol", mpp=0.5, epochs=1, batch_size=8, workers=0)
        >>> train("slides", "runs/first", config)  # doctest: +SKIP
        PosixPath('runs/first/checkpoints/last.ckpt')
    """
    if on_collapse not in ("warn", "stop"):
        raise UsageError("choose warn or stop", where=argument("on_collapse", on_collapse))
    source, run = Path(source), Path(run)
    knn, init, teacher = (None if path is None else Path(path) for path in (knn, init, teacher))
    check_main_guard(config.workers)
    stop = stop or threading.Event()
    # only the first of several processes reports
    listener = Listener() if listener is None or rank_here() else listener
    devices = choose_devices(config.devices, config.precision, torch.cuda.device_count())
    batch = per_process(config.batch_size, devices.processes, config.accumulate)
    folder = RunFolder(run)
    before = folder.check(config, resume)
    encoder = load_teacher(teacher, config, devices)
    labelled = read_labelled(knn) if knn else None
    # without `workers=True`: decoding processes draw nothing from global generators, and would load Lightning
    L.seed_everything(config.seed, verbose=False)
    tiles = open_tiles(source, config, split=split, labelled=METHODS.get(config.method).needs_labels)
    data = tiles.about()
    if stop.is_set() and devices.processes == 1:  # several processes agree after their first step
        raise Stopped("step 0")
    if before is not None:
        check_data(folder, before, data)
    _check_enough(len(tiles), config, source)
    _describe_tiles(tiles, config, data, listener)
    initial = None
    if before is None:
        initial = initial_weights(init, init_licence, config, data, listener)
    else:
        check_resumed(init, init_licence, before, data, run)
    taught_by = None
    if encoder is not None:
        taught_by = start_teaching(encoder, config, tiles, data, before, run, listener)
    loader, sampler = _loader(config, tiles, batch, devices)
    module = Training(config, data, sampler, initial, taught_by)
    watching = _callbacks(folder, config, data, labelled, on_collapse, listener, stop, devices)
    started = time.monotonic()
    with quiet():
        trainer = make_trainer(config, devices, run, watching)
        with written_to(run):
            _fit(trainer, module, loader, folder, config, resume)
            if trainer.is_global_zero:
                _write_summary(folder, trainer, data, watching, time.monotonic() - started)
    return folder.last


def _describe_tiles(
    tiles: TrainingTiles, config: TrainConfig, data: dict[str, Any], listener: Listener
) -> None:
    for text in tiles.warnings:
        listener.warned(text)
    if (mpp := known_mpp(config.to_dict(), data)) is not None and config.mpp is None:
        listener.noted(f"the tiles have {mpp:g} um per pixel by their table, and so has the model")


def _fit(
    trainer: L.Trainer, module: Training, loader: Any, folder: RunFolder, config: TrainConfig, resume: bool
) -> None:
    """Run the training; its curves are drawn also if it ends with an error."""
    if trainer.is_global_zero:
        folder.begin(config)
    try:
        trainer.fit(module, loader, ckpt_path=folder.last if resume else None, weights_only=True)
    finally:
        if trainer.is_global_zero:
            _draw(folder.path, config)


def _check_enough(tiles: int, config: TrainConfig, source: Path) -> None:
    if tiles < config.batch_size:
        few = tiles < 2  # a batch has at least two
        raise UsageError(
            f"{counted(tiles, 'tile')}, fewer than one batch ({config.batch_size})",
            where=source,
            remedy="add slides or tiles" if few else f"use {argument('batch_size', tiles)} or less",
        )


def _loader(
    config: TrainConfig, tiles: TrainingTiles, batch: int, devices: Devices
) -> tuple[DataLoader[Any], TileSampler]:
    rank = rank_here()
    workers = min(config.workers, cpu_count())  # more would only compete for the cores
    check_shared_memory(batch, tiles.side, workers)
    sampler = TileSampler(
        tiles.groups, batch, config.seed, rank=rank, processes=devices.processes, accumulate=config.accumulate
    )
    loader = SignalSafeLoader(
        tiles,
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=tiles.collate,
        persistent_workers=workers > 0,
        # a fork after a library has started threads can deadlock
        multiprocessing_context="spawn" if workers else None,
        pin_memory=devices.accelerator == "gpu",
        # a generator of its own: otherwise creating the loader would advance the global one, which a
        # resumed run restores
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
    """Create the callbacks in the order in which they run: figures, their log, checkpoints, stop."""
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
    tiles = counted(data["tiles"], "tile")
    how = f"{config.method} on {tiles}, batch {config.batch_size}, {where(config, devices)}"
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
