"""What every method of training is to the trainer, the monitors and the export."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from wsi_embed_train.backbones import make_backbone


@dataclass(frozen=True)
class Step:
    """What a method says of one batch.

    Attributes:
        loss: Scalar to minimise.
        terms: The loss's terms before their weights, detached scalars, for the log.
        projection: Projections of all views, float [N, D], detached: what monitors look at.
        logits: Cluster logits of the same rows, [N, K], detached; None without a cluster head.
    """

    loss: Tensor
    terms: dict[str, Tensor]
    projection: Tensor
    logits: Tensor | None = None


class Encoder(nn.Module):
    """Backbone and projector. Tile features are the backbone's pooled output.

    Args:
        backbone: A name for `make_backbone`.
        projector: Makes the projector for the backbone's width.
    """

    def __init__(self, backbone: str, projector: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.backbone, self.feature_dim = make_backbone(backbone)
        self.projector = projector(self.feature_dim)

    def forward(self, images: Tensor) -> Tensor:
        """Project normalised images, float [B, 3, H, W], to [B, D]."""
        projection: Tensor = self.projector(self.backbone(images))
        return projection


class Method(nn.Module, abc.ABC):
    """A network and its loss.

    A method's settings are the arguments of its constructor: `build_method` gives each the value of
    the same name in the recipe.

    Attributes:
        n_views: Views of a tile that a step takes.
        needs_labels: Whether a step takes labels.
        encoder: What is exported, its projector only where a cluster head follows.
        predictor_lr: Learning rate of the submodule `predictor`, as a factor.
        fix_pred_lr: Whether that rate stays where it starts.
    """

    n_views: ClassVar[int] = 2
    needs_labels: ClassVar[bool] = False
    encoder: Encoder
    predictor_lr: float = 1.0
    fix_pred_lr: bool = False

    @abc.abstractmethod
    def forward(self, views: Sequence[Tensor], labels: Tensor | None = None) -> Step:
        """Loss and figures of one batch.

        Args:
            views: `n_views` normalised views of the same tiles, float [B, 3, H, W] each.
            labels: Classes of the tiles, int64 [B], where the method needs them.
        """

    @property
    def cluster_head(self) -> nn.Module | None:
        """From projections [B, D] to cluster logits [B, K], where there is one."""
        return None

    def parameter_groups(
        self, weight_decay: float, *, exclude_norm_bias: bool = False
    ) -> list[dict[str, Any]]:
        """Trained parameters by how the optimizer is to treat them.

        Args:
            weight_decay: For all but the excluded.
            exclude_norm_bias: No weight decay on vectors: biases, and weights of norms.

        Returns:
            Groups with `params`, `weight_decay`, `fixed_lr` (no schedule) and `lr_factor`.
        """
        groups: dict[tuple[float, bool, float], list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            if not parameter.requires_grad:
                continue
            predictor = name.startswith("predictor.")
            decay = 0.0 if exclude_norm_bias and parameter.ndim < 2 else weight_decay
            factor = self.predictor_lr if predictor else 1.0
            groups.setdefault((decay, predictor and self.fix_pred_lr, factor), []).append(parameter)
        return [
            {"params": params, "weight_decay": decay, "fixed_lr": fixed, "lr_factor": factor}
            for (decay, fixed, factor), params in groups.items()
        ]

    def before_epoch(self, progress: float) -> None:
        """Called before every epoch; `progress` is the part of the run's steps that is done."""

    def before_step(self, progress: float) -> None:
        """Called between the gradients and the optimizer's step."""

    def after_step(self, progress: float) -> None:
        """Called after the optimizer's step, with the part of the run that is done by then."""


@torch.no_grad()
def follow(target: nn.Module, online: nn.Module, momentum: float) -> None:
    """Move a target's parameters towards the online ones; its batch norms run by themselves."""
    for ours, theirs in zip(target.parameters(), online.parameters(), strict=True):
        ours.lerp_(theirs, 1 - momentum)


def float32(tensor: Tensor) -> contextlib.AbstractContextManager[Any]:
    """Within it, a loss is computed as its inputs are, whatever the precision of the run."""
    return torch.autocast(tensor.device.type, enabled=False)
