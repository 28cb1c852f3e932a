"""Orderly stop on Ctrl-C and SIGTERM: finish the step, save, and end."""

from __future__ import annotations

import signal
import threading
from typing import Any

import lightning as L

from wsi_embed.errors import Stopped
from wsi_embed_train.callbacks.checkpoints import Checkpoints
from wsi_embed_train.callbacks.looks import agreed, is_step_done


class StopOnRequest(L.Callback):
    """Stop of the run after the step in which any process was asked to stop.

    Args:
        stop: Event that requests the stop.
        checkpoints: Writer of the checkpoint.

    Raises:
        Stopped: If `stop` was set. It is raised during training, after the checkpoint has been written.
    """

    def __init__(self, stop: threading.Event, checkpoints: Checkpoints) -> None:
        self.stop, self.checkpoints = stop, checkpoints
        self._handlers: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            self._handlers = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Restore the signal handlers, which Lightning replaces after `on_fit_start`.

        Lightning's handler ends a run without a checkpoint, and communicates with other processes in the
        middle of a step.
        """
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Save and stop if requested, except within an accumulated step and at the end of an epoch."""
        if trainer.is_last_batch or not is_step_done(trainer):
            return
        if agreed(trainer, self.stop.is_set()):
            self.checkpoints.save_last(trainer)
            raise Stopped(f"step {trainer.global_step}")

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop if requested, unless the run is complete; the checkpoint has already been written."""
        more = trainer.current_epoch + 1 < (trainer.max_epochs or 0)
        if more and agreed(trainer, self.stop.is_set()):
            raise Stopped(f"step {trainer.global_step}")
