"""What a run writes of itself: the epoch's means, and figures that show a collapse."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from wsi_embed.errors import WsiEmbedError
from wsi_embed_train.collapse import Collapse, assignment_figures, diagnose, representation_figures

# Looking costs a singular value decomposition of a batch: not at every step.
EVERY_STEPS = 20
PATIENCE = 5


class CollapseError(WsiEmbedError):
    """The training collapsed, and was told to stop then."""


def epoch_means(trainer: L.Trainer) -> dict[str, float]:
    """The last epoch's figures; what is only of the last step is left out."""
    figures = sorted(trainer.callback_metrics.items())
    return {k: round(float(v), 6) for k, v in figures if not k.endswith("_step")}


class MetricsFile(L.Callback):
    """Appends the epoch's means to `metrics.csv`, so that a resumed run continues the file.

    Args:
        path: The CSV file.
        on_epoch: Called with every row.
    """

    def __init__(self, path: Path, on_epoch: Callable[[dict[str, float]], None] | None = None) -> None:
        self.path, self.on_epoch = path, on_epoch

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Append one row."""
        row: dict[str, float] = {"epoch": trainer.current_epoch + 1, "step": trainer.global_step}
        row |= epoch_means(trainer)
        new = not self.path.exists()
        with self.path.open("a", newline="", encoding="utf-8") as out:
            writer = csv.DictWriter(out, fieldnames=list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)
        if self.on_epoch is not None:
            self.on_epoch(row)


class DivergedError(WsiEmbedError):
    """The loss is no number any more."""


class FiniteLoss(L.Callback):
    """Ends a run whose loss is no number, before a checkpoint of it is written.

    Looking waits for the device, so not after every step: every 20th, and the last of an epoch.

    Args:
        precision: `32`, `bf16` or `16`, for the likely cause.
    """

    def __init__(self, precision: str) -> None:
        self.precision = precision

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: object, batch_idx: int
    ) -> None:
        """Look, now and then."""
        if batch_idx % EVERY_STEPS and not trainer.is_last_batch:
            return
        loss = float(outputs["loss"])
        if math.isfinite(loss):
            return
        remedy = "--precision bf16 or 32, then a lower --lr" if self.precision == "16" else "a lower --lr"
        raise DivergedError(
            f"step {trainer.global_step}: the loss is {loss}, it diverged; start again with {remedy}"
        )


class CollapseMonitor(L.Callback):
    """Looks at every 20th batch, and the first of every epoch, for a collapse.

    The figures go into the epoch's means (`metrics.csv`) and, with their step, into `health.csv`.

    Args:
        path: Of `health.csv`; a resumed run continues it.
        clusters: K; None without a cluster head.
        stop: Whether a collapse ends the run, or is only told.
        on_warning: Told once of each kind of collapse.

    Raises:
        CollapseError: From within the training; `last.ckpt` is then of the last whole epoch.
    """

    def __init__(
        self, path: Path, clusters: int | None, stop: bool, on_warning: Callable[[str], None] | None = None
    ) -> None:
        self.path, self.clusters, self.stop, self.on_warning = path, clusters, stop, on_warning
        self._history: list[dict[str, float]] = []
        self._told: set[str] = set()
        self._seen: dict[str, Tensor] = {}
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Watch what leaves the backbone and the cluster assigner."""
        network: nn.Module = pl_module.network  # type: ignore[assignment]
        watched = {"features": network.encoder.backbone, "logits": getattr(network, "cluster_assigner", None)}  # type: ignore[union-attr]
        for name, module in watched.items():
            if isinstance(module, nn.Module):
                self._hooks.append(module.register_forward_hook(self._keep(name)))

    def _keep(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
            self._seen[name] = output.detach()  # of the last view; the next batch replaces it

        return hook

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Look, now and then."""
        if batch_idx % EVERY_STEPS or "features" not in self._seen:
            return
        figures = representation_figures(self._seen["features"])
        if "logits" in self._seen:
            figures |= assignment_figures(self._seen["logits"])
        pl_module.log_dict(figures, on_step=False, on_epoch=True, batch_size=len(self._seen["features"]))
        self._write({"step": trainer.global_step, **figures})
        self._history = [*self._history[-PATIENCE:], figures]
        if found := diagnose(self._history, self.clusters, PATIENCE):
            self._tell(found, trainer)

    def _tell(self, found: Collapse, trainer: L.Trainer) -> None:
        text = f"step {trainer.global_step}: {found}"
        if self.stop:
            raise CollapseError(f"{text}. The run has stopped; last.ckpt is of the last whole epoch")
        if self.on_warning is not None and found.kind not in self._told:
            self.on_warning(text)
        self._told.add(found.kind)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop watching."""
        self._release()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Stop watching."""
        self._release()

    def _release(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def _write(self, row: dict[str, float]) -> None:
        new = not self.path.exists()
        with self.path.open("a", newline="", encoding="utf-8") as out:
            writer = csv.DictWriter(out, fieldnames=list(row))
            if new:
                writer.writeheader()
            writer.writerow({name: round(value, 5) for name, value in row.items()})
