"""Checkpoints of a run: the last, the best, and those to keep."""

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
    """Writes `last.ckpt`, `best.ckpt` and `epoch-0010.ckpt`, each whole or not at all.

    Args:
        folder: `checkpoints/` of the run.
        every_steps: `last.ckpt` within an epoch, too; a killed run loses so many steps at most.
        keep_epochs: Every so many epochs a checkpoint stays.
        precision: For the message where the loss is no number.

    Attributes:
        score: How good the epoch was, greater is better; set by others before the epoch's end.
    """

    def __init__(self, folder: Path, every_steps: int, keep_epochs: int, precision: str) -> None:
        self.folder, self.every_steps, self.keep_epochs = folder, every_steps, keep_epochs
        self.precision = precision
        self.score: float | None = None
        self.best: dict[str, Any] = {}
        self.ill = False

    @property
    def last(self) -> Path:
        """Of the last save."""
        return self.folder / "last.ckpt"

    @property
    def healthy(self) -> Path:
        """The last one before a collapse that may be under way; absent while all is well."""
        return self.folder / "healthy.ckpt"

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Save within the epoch; the epoch's end saves for itself."""
        if trainer.is_last_batch or not is_step_done(trainer):
            return
        if trainer.global_step % self.every_steps == 0:
            assert isinstance(pl_module, Training)
            check_finite(trainer, pl_module, self.precision)
            self.save_last(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save the last, and where it is due the best and one to keep."""
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
        """Replace `last.ckpt`; all processes call it."""
        temporary = self.folder / ".last.ckpt.part"
        trainer.save_checkpoint(temporary)
        if trainer.is_global_zero:
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(self.last)

    def set_healthy(self, trainer: L.Trainer, healthy: bool) -> None:
        """Keep the last checkpoint of before an illness, and let it go once the illness is over."""
        began, self.ill = not healthy and not self.ill, not healthy
        if not trainer.is_global_zero:
            return
        if healthy:
            self.healthy.unlink(missing_ok=True)
        elif began and self.last.exists():
            _link(self.last, self.healthy)

    def go_back(self, trainer: L.Trainer) -> bool:
        """Make the last healthy checkpoint the last one; False where there is none."""
        found = self.healthy.exists()
        trainer.strategy.barrier("go_back")
        if found and trainer.is_global_zero:
            self.healthy.replace(self.last)
        return found

    def state_dict(self) -> dict[str, Any]:
        """The best so far, for a resumed run."""
        return {"best": self.best, "ill": self.ill}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember the best so far."""
        self.best, self.ill = state_dict["best"], state_dict["ill"]


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, replacing what has it; no copy of its bytes where the disk can do so."""
    with replacing(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:  # not on every file system
            temporary.write_bytes(source.read_bytes())
