"""Lightning's trainer, configured for a run and with its messages silenced."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.utilities.rank_zero import rank_zero_only

from wsi_embed_train.config import TrainConfig
from wsi_embed_train.devices import PRECISIONS, Devices

# Warnings of Lightning that users cannot act on.
IGNORED_WARNINGS = (
    "does not have many workers",
    "logging interval",
    r"isinstance\(treespec, LeafSpec\)",
    "GPU available but not used",
    "Checkpoint directory .* exists",
    "your dataloader is not resumable",  # it is: the checkpoint stores the position of the sampler
    "The `srun` command is available",
    r"Found \d+ module\(s\) in eval mode",  # the frozen ones
)


def where(config: TrainConfig, devices: Devices) -> str:
    """Describe the hardware and precision of a run in words."""
    name = torch.cuda.get_device_name() if devices.accelerator == "gpu" else "CPU"
    many = f"{devices.processes} x " if devices.processes > 1 else ""
    return f"{many}{name}, precision {config.precision}"


def make_trainer(
    config: TrainConfig, devices: Devices, run: Path, callbacks: Sequence[L.Callback]
) -> L.Trainer:
    """Create a trainer without log files or progress bars: callbacks write the files of the run."""
    gpu, many = devices.accelerator == "gpu", devices.processes > 1
    # On preemption by Slurm, Lightning would save in the middle of a step; StopOnRequest waits for its end.
    slurm: list[Any] = [SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else []
    return L.Trainer(
        accelerator=devices.accelerator,
        devices=devices.per_node,
        num_nodes=devices.nodes,
        strategy="ddp" if many else "auto",
        sync_batchnorm=gpu and many,
        use_distributed_sampler=False,  # TileSampler divides the tiles among the processes
        precision=PRECISIONS[config.precision],  # type: ignore[arg-type]
        max_epochs=config.epochs,
        accumulate_grad_batches=config.accumulate,
        default_root_dir=run,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
        plugins=slurm or None,
    )


def rank_here() -> int:
    """Return the rank of this process, as set by its launcher; 0 for a single process."""
    return int(getattr(rank_zero_only, "rank", None) or 0)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence Lightning's announcements, tips and warnings about deliberate choices."""
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for text in IGNORED_WARNINGS:
                warnings.filterwarnings("ignore", f".*{text}")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
