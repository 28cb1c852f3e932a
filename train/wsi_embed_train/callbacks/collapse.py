"""Monitor of a collapse: logs figures, and warns or stops the run."""

from __future__ import annotations

from collections.abc import Callable

import lightning as L
import torch
from torch import Tensor, nn

from wsi_embed.errors import WsiEmbedError
from wsi_embed_train.callbacks.checkpoints import Checkpoints
from wsi_embed_train.callbacks.looks import agreed, is_look
from wsi_embed_train.collapse import Collapse, assignment_figures, diagnose, representation_figures
from wsi_embed_train.module import Training

PATIENCE = 5
# With fewer rows the effective rank is always low.
FEWEST_ROWS = 8


class CollapseError(WsiEmbedError):
    """Raised when the training collapses and `on_collapse` is `stop`."""


class CollapseMonitor(L.Callback):
    """Monitor that checks a batch at regular intervals and at the end of every epoch.

    Args:
        every: Interval between checks, steps.
        clusters: Number of clusters K; None without a cluster head.
        stop: Whether a collapse ends the run instead of only giving a warning.
        checkpoints: Writer of checkpoints, which keeps the last one before a collapse.
        judges: Whether the mean effective rank of an epoch is its score, because there is no labelled set.
        on_warning: Function called with a message, once for each kind of collapse.

    Raises:
        CollapseError: If the training collapses and `stop` is true. It is raised during training;
            `last.ckpt` is then the checkpoint before the collapse.
    """

    def __init__(
        self,
        every: int,
        clusters: int | None,
        stop: bool,
        checkpoints: Checkpoints,
        *,
        judges: bool,
        on_warning: Callable[[str], None],
    ) -> None:
        self.every, self.clusters, self.stop = every, clusters, stop
        self.checkpoints, self.judges, self.on_warning = checkpoints, judges, on_warning
        self._history: list[dict[str, float]] = []
        self._ranks: list[float] = []
        self._reported: set[str] = set()
        self._features: Tensor | None = None
        self._hook: torch.utils.hooks.RemovableHandle | None = None

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Register a hook that keeps the output of the backbone."""
        assert isinstance(pl_module, Training)
        self._hook = pl_module.network.encoder.backbone.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: object, output: Tensor) -> None:
        self._features = output.detach()  # features of the last view, until the next batch replaces them

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Clear the ranks of the last epoch."""
        self._ranks = []

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Check the batch if a check is due."""
        if self._features is None or not is_look(trainer, self.every):
            return
        assert isinstance(pl_module, Training)
        figures = representation_figures(self._features)
        if pl_module.logits is not None:
            scale = pl_module.config.gumbel_noise
            figures |= assignment_figures(pl_module.logits, scale=1.0 if scale is None else scale)
        pl_module.row |= figures
        self._ranks.append(figures["effective_rank"])
        if self.judges:
            self.checkpoints.score = sum(self._ranks) / len(self._ranks)
        if len(self._features) < FEWEST_ROWS:
            return
        self._history = [*self._history[-PATIENCE:], figures]
        collapsing = agreed(trainer, diagnose([figures], self.clusters, 1) is not None)
        self.checkpoints.set_healthy(trainer, not collapsing)
        found = diagnose(self._history, self.clusters, PATIENCE)
        if agreed(trainer, found is not None):
            self._report(found, trainer)

    def _report(self, found: Collapse | None, trainer: L.Trainer) -> None:
        text = f"step {trainer.global_step}: {found or 'collapse in another process'}"
        if self.stop:
            saved = self.checkpoints.go_back(trainer)
            left = "last.ckpt is of before it showed" if saved else "it was never healthy"
            raise CollapseError(f"{text}. The run has stopped; {left}")
        kind = found.kind if found else ""
        if kind not in self._reported:
            self.on_warning(text)
        self._reported.add(kind)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Remove the hook."""
        if self._hook is not None:
            self._hook.remove()

    def state_dict(self) -> dict[str, object]:
        """Return the recent figures, for a resumed run."""
        return {"history": self._history, "ranks": self._ranks}

    def load_state_dict(self, state_dict: dict[str, list[object]]) -> None:
        """Restore the figures of an interrupted run."""
        self._history, self._ranks = state_dict["history"], state_dict["ranks"]  # type: ignore[assignment]
