"""Is the training collapsing? Cheap figures on every step, written once an epoch."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import lightning as L
import torch
from torch import Tensor


def cluster_figures(logits: Tensor) -> dict[str, float]:
    """How the assigner spreads a batch, by argmax without noise.

    Args:
        logits: Cluster logits, float [N, K].

    Returns:
        `clusters_used`, `largest_share` (of N) and `logit_margin` (mean of best minus second).
    """
    counts = torch.bincount(logits.argmax(dim=1), minlength=logits.shape[1])
    best = logits.float().topk(2, dim=1).values
    return {
        "clusters_used": float((counts > 0).sum()),
        "largest_share": float(counts.max() / len(logits)),
        "logit_margin": float((best[:, 0] - best[:, 1]).mean()),
    }


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
