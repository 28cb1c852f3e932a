"""Watches for a collapse: figures into the run's metrics, a warning, or the end of the run."""

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
# Fewer rows span few directions, whatever they are.
FEWEST_ROWS = 8


class CollapseError(WsiEmbedError):
    """The training collapsed, and was told to stop then."""


class CollapseMonitor(L.Callback):
    """Looks at a batch every so many steps, and at the last of every epoch.

    Args:
        every: Steps from look to look.
        clusters: K; None without a cluster head.
        stop: Whether a collapse ends the run, or is only told.
        checkpoints: Keeps the last healthy one.
        judges: The epoch's score is its mean effective rank, for want of a labelled set.
        on_warning: Told once of each kind of collapse.

    Raises:
        CollapseError: From within the training; `last.ckpt` is then of before the collapse showed.
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
        self._told: set[str] = set()
        self._features: Tensor | None = None
        self._hook: torch.utils.hooks.RemovableHandle | None = None

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Watch what leaves the backbone."""
        assert isinstance(pl_module, Training)
        self._hook = pl_module.network.encoder.backbone.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: object, output: Tensor) -> None:
        self._features = output.detach()  # of the last view; the next batch replaces it

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Forget the last epoch's ranks."""
        self._ranks = []

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Look, now and then."""
        if self._features is None or not is_look(trainer, self.every):
            return
        assert isinstance(pl_module, Training)
        figures = representation_figures(self._features)
        if pl_module.logits is not None:
            figures |= assignment_figures(pl_module.logits)
        pl_module.row |= figures
        self._ranks.append(figures["effective_rank"])
        if self.judges:
            self.checkpoints.score = sum(self._ranks) / len(self._ranks)
        if len(self._features) < FEWEST_ROWS:
            return
        self._history = [*self._history[-PATIENCE:], figures]
        ill = agreed(trainer, diagnose([figures], self.clusters, 1) is not None)
        self.checkpoints.set_healthy(trainer, not ill)
        found = diagnose(self._history, self.clusters, PATIENCE)
        if agreed(trainer, found is not None):
            self._tell(found, trainer)

    def _tell(self, found: Collapse | None, trainer: L.Trainer) -> None:
        text = f"step {trainer.global_step}: {found or 'collapse in another process'}"
        if self.stop:
            saved = self.checkpoints.go_back(trainer)
            left = "last.ckpt is of before it showed" if saved else "it was never healthy"
            raise CollapseError(f"{text}. The run has stopped; {left}")
        kind = found.kind if found else ""
        if kind not in self._told:
            self.on_warning(text)
        self._told.add(kind)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Stop watching."""
        if self._hook is not None:
            self._hook.remove()

    def state_dict(self) -> dict[str, object]:
        """What was seen, for a resumed run."""
        return {"history": self._history, "ranks": self._ranks}

    def load_state_dict(self, state_dict: dict[str, list[object]]) -> None:
        """Go on with what was seen."""
        self._history, self._ranks = state_dict["history"], state_dict["ranks"]  # type: ignore[assignment]
