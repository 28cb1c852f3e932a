"""Check that the loss is finite before a checkpoint is written."""

from __future__ import annotations

import math

import lightning as L

from wsi_embed.errors import WsiEmbedError
from wsi_embed_train.callbacks.looks import agreed, is_look
from wsi_embed_train.module import Training


class DivergedError(WsiEmbedError):
    """Raised when the loss is NaN or infinite."""


class FiniteLoss(L.Callback):
    """Check of the loss at regular intervals.

    Args:
        every: Interval between checks, steps.
        precision: Precision of the run, `32`, `bf16` or `16`, for the advice in the message.
    """

    def __init__(self, every: int, precision: str) -> None:
        self.every, self.precision = every, precision

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Check the loss if a check is due."""
        assert isinstance(pl_module, Training)
        if is_look(trainer, self.every):
            check_finite(trainer, pl_module, self.precision)


def check_finite(trainer: L.Trainer, module: Training, precision: str) -> None:
    """Check that the loss of the step is finite in all processes.

    Raises:
        DivergedError: If it is NaN or infinite in any process.
    """
    loss = float(module.row["loss"])
    if agreed(trainer, not math.isfinite(loss)):
        remedy = "`precision='bf16'` or 32, then a lower `lr=`" if precision == "16" else "a lower `lr=`"
        raise DivergedError(
            f"the loss is {loss}, it diverged",
            where=f"step {trainer.global_step}",
            remedy=f"start again with {remedy}",
        )
