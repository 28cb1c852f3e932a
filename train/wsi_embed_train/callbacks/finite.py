"""A loss that is no number ends the run before a checkpoint of it is written."""

from __future__ import annotations

import math

import lightning as L

from wsi_embed.errors import WsiEmbedError
from wsi_embed_train.callbacks.looks import agreed, is_look
from wsi_embed_train.module import Training


class DivergedError(WsiEmbedError):
    """The loss is no number any more."""


class FiniteLoss(L.Callback):
    """Looks at the loss now and then, and before every checkpoint.

    Args:
        every: Steps from look to look.
        precision: `32`, `bf16` or `16`, for the likely cause.
    """

    def __init__(self, every: int, precision: str) -> None:
        self.every, self.precision = every, precision

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Look, now and then."""
        assert isinstance(pl_module, Training)
        if is_look(trainer, self.every):
            check_finite(trainer, pl_module, self.precision)


def check_finite(trainer: L.Trainer, module: Training, precision: str) -> None:
    """Raise where the step's loss is no number, in any process.

    Raises:
        DivergedError: It is not; the message has the step and the likely cause.
    """
    loss = float(module.row["loss"])
    if agreed(trainer, not math.isfinite(loss)):
        remedy = "--precision bf16 or 32, then a lower --lr" if precision == "16" else "a lower --lr"
        raise DivergedError(
            f"step {trainer.global_step}: the loss is {loss}, it diverged; start again with {remedy}"
        )
