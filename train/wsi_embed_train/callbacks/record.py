"""Writes down how a run goes: `metrics.csv`, TensorBoard, and whoever listens."""

from __future__ import annotations

import time
from pathlib import Path

import lightning as L
from torch.utils.tensorboard import SummaryWriter

from wsi_embed_train.callbacks.looks import is_look, is_step_done
from wsi_embed_train.listener import Listener
from wsi_embed_train.metrics_file import MetricsFile, mean_row
from wsi_embed_train.module import Training


class Recorder(L.Callback):
    """Keeps the figures of every so many steps, and of the last step of every epoch.

    Comes after the callbacks that add figures to the module's row.

    Args:
        run: The run folder.
        every: Steps from row to row.
        listener: Hears of steps, rows and epochs.
        how: What the listener is told of where and what the run computes.
    """

    def __init__(self, run: Path, every: int, listener: Listener, how: str) -> None:
        self.run, self.every, self.listener, self.how = run, every, listener, how
        self._began, self._from = time.monotonic(), 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Open the files, without what is about to be repeated."""
        self._began, self._from = time.monotonic(), trainer.global_step
        if trainer.is_global_zero:
            self._file = MetricsFile(self.run / "metrics.csv", trainer.global_step)
            board = str(self.run / "tensorboard")
            self._board = SummaryWriter(board, purge_step=trainer.global_step + 1)
            self.listener.started(int(trainer.estimated_stepping_batches), trainer.global_step, self.how)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Write a row, now and then; an epoch's last row waits for what its end adds."""
        if not trainer.is_global_zero or not is_step_done(trainer):
            return
        self.listener.step_done(trainer.global_step)
        if is_look(trainer, self.every):
            assert isinstance(pl_module, Training)
            pl_module.row["images_per_s"] = self._speed(trainer, pl_module.config.batch_size)
            if not trainer.is_last_batch:
                self._write(trainer, pl_module)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the epoch's last row, and tell its means."""
        if not trainer.is_global_zero:
            return
        assert isinstance(pl_module, Training)
        self._write(trainer, pl_module)
        self._board.flush()
        self._began = time.monotonic()  # an evaluation is not training
        epoch = trainer.current_epoch + 1
        means = mean_row([row for row in self._file.rows if row["epoch"] == epoch])
        self.listener.epoch_done(means | {"epoch": epoch, "step": trainer.global_step})

    def _speed(self, trainer: L.Trainer, batch_size: int) -> float:
        """Images a second since the last look; by now the device has finished them."""
        now, images = time.monotonic(), (trainer.global_step - self._from) * batch_size
        rate = images / max(now - self._began, 1e-9)
        self._began, self._from = now, trainer.global_step
        return rate

    def _write(self, trainer: L.Trainer, module: Training) -> None:
        row = {"step": float(trainer.global_step), "epoch": float(trainer.current_epoch + 1)}
        row |= {name: float(value) for name, value in module.row.items()}
        self._file.append(row)
        for name in row.keys() - {"step"}:
            self._board.add_scalar(name, row[name], trainer.global_step)
        self.listener.figures(row)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Close TensorBoard's file."""
        if hasattr(self, "_board"):
            self._board.close()
