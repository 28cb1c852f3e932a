"""Checkpoints of a run: the last, the best, and periodic ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import lightning as L

from wsi_embed.util.atomic_files import replacing
from wsi_embed_train.callbacks.finite import check_finite
from wsi_embed_train.callbacks.looks import is_step_done
from wsi_embed_train.module import Training


class Checkpoints(L.Callback):
    """Writer of `last.ckpt`, `best.ckpt` and `epoch-0010.ckpt`. Each file is written atomically.

    Args:
        folder: Folder `checkpoints/` of the run.
        every_steps: Interval between writes of `last.ckpt` within an epoch: the maximum number of steps that
            a killed run loses.
        keep_epochs: Interval between checkpoints that are kept permanently, epochs.
        precision: Precision of the run, for the message about a loss that is not finite.

    Attributes:
        score: Score of the epoch, higher is better. Other callbacks set it before the end of the epoch.
        collapsing: Whether the last check of the training found signs of a collapse.
    """

    def __init__(self, folder: Path, every_steps: int, keep_epochs: int, precision: str) -> None:
        self.folder, self.every_steps, self.keep_epochs = folder, every_steps, keep_epochs
        self.precision = precision
        self.score: float | None = None
        self.best: dict[str, Any] = {}
        self.collapsing = False

    @property
    def last(self) -> Path:
        """Path of the last checkpoint."""
        return self.folder / "last.ckpt"

    @property
    def healthy(self) -> Path:
        """Path of the last checkpoint before a suspected collapse. It only exists during one."""
        return self.folder / "healthy.ckpt"

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Save `last.ckpt` if it is due; at the end of an epoch `on_train_epoch_end` does."""
        if trainer.is_last_batch or not is_step_done(trainer):
            return
        if trainer.global_step % self.every_steps == 0:
            assert isinstance(pl_module, Training)
            check_finite(trainer, pl_module, self.precision)
            self.save_last(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save `last.ckpt` and, if they are due, `best.ckpt` and a permanent checkpoint."""
        epoch = trainer.current_epoch + 1
        better = self.score is not None and self.score > self.best.get("score", -float("inf"))
        if better:
            self.best = {"score": self.score, "epoch": epoch}
        self.save_last(trainer)
        if trainer.is_global_zero:
            if better:
                _link(self.last, self.folder / "best.ckpt")
            if epoch % self.keep_epochs == 0:
                _link(self.last, self.folder / f"epoch-{epoch:04}.ckpt")
        self.score = None

    def save_last(self, trainer: L.Trainer) -> None:
        """Replace `last.ckpt`; all processes must call it."""
        temporary = self.folder / ".last.ckpt.part"
        try:
            trainer.save_checkpoint(temporary)
            if trainer.is_global_zero:
                with temporary.open("rb") as written:
                    os.fsync(written.fileno())
                temporary.replace(self.last)
        except OSError:
            temporary.unlink(missing_ok=True)  # a full disk; the last checkpoint stays
            raise

    def set_healthy(self, trainer: L.Trainer, healthy: bool) -> None:
        """Keep the last checkpoint before a suspected collapse, and delete it once the training recovers."""
        began, self.collapsing = not healthy and not self.collapsing, not healthy
        if not trainer.is_global_zero:
            return
        if healthy:
            self.healthy.unlink(missing_ok=True)
        elif began and self.last.exists():
            _link(self.last, self.healthy)

    def go_back(self, trainer: L.Trainer) -> bool:
        """Replace `last.ckpt` by the checkpoint before the collapse; return False if there is none."""
        found = self.healthy.exists()
        trainer.strategy.barrier("go_back")
        if found and trainer.is_global_zero:
            self.healthy.replace(self.last)
        return found

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a resumed run."""
        return {"best": self.best, "ill": self.collapsing}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of an interrupted run."""
        self.best, self.collapsing = state_dict["best"], state_dict["ill"]


def _link(source: Path, target: Path) -> None:
    """Hard-link a file, replacing the target; copy it on file systems without hard links."""
    with replacing(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            temporary.write_bytes(source.read_bytes())
