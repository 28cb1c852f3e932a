"""Ctrl-C and SIGTERM: finish the step, save, and end in order."""

from __future__ import annotations

import signal
import threading
from typing import Any

import lightning as L

from wsi_embed.errors import Stopped
from wsi_embed_train.callbacks.checkpoints import Checkpoints
from wsi_embed_train.callbacks.looks import agreed, is_step_done


class StopOnRequest(L.Callback):
    """Saves and ends the run after the step in which a stop was asked for, in any process.

    Args:
        stop: Set by whoever wants the run to end.
        checkpoints: What saves.

    Raises:
        Stopped: From within the training, after the checkpoint was written.
    """

    def __init__(self, stop: threading.Event, checkpoints: Checkpoints) -> None:
        self.stop, self.checkpoints = stop, checkpoints
        self._handlers: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            self._handlers = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take the signals back, which Lightning has taken after `on_fit_start`.

        Its handler ends a run without a checkpoint, and talks to other processes in the middle of a step.
        """
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Save and stop, but not within a step of several batches, nor at the last: the epoch's end does."""
        if trainer.is_last_batch or not is_step_done(trainer):
            return
        if agreed(trainer, self.stop.is_set()):
            self.checkpoints.save_last(trainer)
            raise Stopped(f"step {trainer.global_step}")

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop, where there is more to come; the checkpoint of the epoch is written by now."""
        more = trainer.current_epoch + 1 < (trainer.max_epochs or 0)
        if more and agreed(trainer, self.stop.is_set()):
            raise Stopped(f"step {trainer.global_step}")
