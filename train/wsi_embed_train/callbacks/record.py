"""Log of a run: `metrics.csv`, TensorBoard and the listener."""

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
    """Logger of figures at regular intervals and at the end of every epoch.

    It must come after the callbacks that add figures to the row of the module.

    Args:
        run: The run folder.
        every: Interval between rows, steps.
        listener: Receiver of steps, rows and epochs.
        how: Description of method, data and hardware for the listener.
    """

    def __init__(self, run: Path, every: int, listener: Listener, how: str) -> None:
        self.run, self.every, self.listener, self.how = run, every, listener, how
        self._began, self._from = time.monotonic(), 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Open the files, without the rows that a resumed run repeats."""
        self._began, self._from = time.monotonic(), trainer.global_step
        if trainer.is_global_zero:
            self._file = MetricsFile(self.run / "metrics.csv", trainer.global_step)
            board = str(self.run / "tensorboard")
            self._board = SummaryWriter(board, purge_step=trainer.global_step + 1)
            self.listener.started(int(trainer.estimated_stepping_batches), trainer.global_step, self.how)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Write a row if it is due; `on_train_epoch_end` completes and writes the last row of an epoch."""
        if not trainer.is_global_zero or not is_step_done(trainer):
            return
        self.listener.step_done(trainer.global_step)
        if is_look(trainer, self.every):
            assert isinstance(pl_module, Training)
            pl_module.row["images_per_s"] = self._speed(trainer, pl_module.config.batch_size)
            if not trainer.is_last_batch:
                self._write(trainer, pl_module)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the last row of the epoch and report the means of its rows."""
        if not trainer.is_global_zero:
            return
        assert isinstance(pl_module, Training)
        self._write(trainer, pl_module)
        self._board.flush()
        self._began = time.monotonic()  # an evaluation does not count as training time
        epoch = trainer.current_epoch + 1
        means = mean_row([row for row in self._file.rows if row["epoch"] == epoch])
        self.listener.epoch_done(means | {"epoch": epoch, "step": trainer.global_step})

    def _speed(self, trainer: L.Trainer, batch_size: int) -> float:
        """Return images per second since the last row; the device has finished them by now."""
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
        """Close the TensorBoard file."""
        if hasattr(self, "_board"):
            self._board.close()
