"""Interface of training methods to the trainer, the monitors and the export."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from wsi_embed_train.backbones import make_backbone


@dataclass(frozen=True)
class Step:
    """Result of a method for one batch.

    Attributes:
        loss: Scalar to minimise.
        terms: Unweighted terms of the loss for the log, detached scalars.
        projection: Projections of all views, float [N, D], detached.
        logits: Cluster logits of the same rows, [N, K], detached; None without a cluster head.
    """

    loss: Tensor
    terms: dict[str, Tensor]
    projection: Tensor
    logits: Tensor | None = None


class Encoder(nn.Module):
    """Backbone and projector. Tile features are the backbone's pooled output.

    Args:
        backbone: Name of the backbone; see `make_backbone`.
        projector: Function that creates the projector, given the number of features of the backbone.
        **settings: Arguments of `make_backbone` that only the training needs.
    """

    def __init__(self, backbone: str, projector: Callable[[int], nn.Module], **settings: Any) -> None:
        super().__init__()
        self.name, self._settings = backbone, settings
        self.backbone, self.feature_dim = make_backbone(backbone, **settings)
        self.projector = projector(self.feature_dim)

    def plain_backbone(self) -> nn.Module:
        """Return the backbone, or one with its weights, without settings that only the training needs."""
        if not self._settings:
            return self.backbone
        with torch.random.fork_rng(devices=[]):
            plain, _ = make_backbone(self.name)
        plain.load_state_dict(self.backbone.state_dict())
        return plain

    def forward(self, images: Tensor) -> Tensor:
        """Project normalised images, float [B, 3, H, W], to [B, D]."""
        projection: Tensor = self.projector(self.backbone(images))
        return projection


class Method(nn.Module, abc.ABC):
    """Network and loss of a training method.

    The settings of a method are the arguments of its constructor: `build_method` passes the values of the
    same names in the recipe.

    Attributes:
        n_views: Number of views of a tile in a step.
        needs_labels: Whether a step needs labels.
        needs_teacher: Whether a step needs the outputs of a teacher, as a third argument of `forward`.
        encoder: Network to export. Its projector is only exported if a cluster head follows.
        predictor_lr: Factor on the learning rate of the submodule `predictor`.
        fix_pred_lr: Whether the learning rate of `predictor` stays constant.
        cluster_lr: Factor on the learning rate of the cluster head, `cluster_projector` and
            `cluster_assigner`.
    """

    n_views: ClassVar[int] = 2
    needs_labels: ClassVar[bool] = False
    needs_teacher: ClassVar[bool] = False
    encoder: Encoder
    predictor_lr: float = 1.0
    fix_pred_lr: bool = False
    cluster_lr: float = 1.0

    @abc.abstractmethod
    def forward(self, views: Sequence[Tensor], labels: Tensor | None = None) -> Step:
        """Compute the loss and figures of one batch.

        Args:
            views: `n_views` normalised views of the same tiles, float [B, 3, H, W] each.
            labels: Classes of the tiles, int64 [B], if the method needs labels.
        """

    @property
    def cluster_head(self) -> nn.Module | None:
        """Module from projections [B, D] to cluster logits [B, K]; None if there is none."""
        return None

    def parameter_groups(
        self,
        weight_decay: float,
        *,
        exclude_norm_bias: bool = False,
        backbone_factors: Mapping[str, float] | None = None,
    ) -> list[dict[str, Any]]:
        """Return the trainable parameters in groups for the optimizer.

        Args:
            weight_decay: Weight decay of all parameters that are not exempt.
            exclude_norm_bias: Whether vectors (biases and weights of norms) are exempt from weight decay.
            backbone_factors: Factors on the learning rate of the backbone's parameters by name; by default 1.

        Returns:
            Groups with `params`, `weight_decay`, `fixed_lr` (no schedule) and `lr_factor`.
        """
        factors = {f"encoder.backbone.{name}": factor for name, factor in (backbone_factors or {}).items()}
        groups: dict[tuple[float, bool, float], list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            if not parameter.requires_grad:
                continue
            predictor = name.startswith("predictor.")
            decay = 0.0 if exclude_norm_bias and parameter.ndim < 2 else weight_decay
            factor = self.predictor_lr if predictor else factors.get(name, 1.0)
            factor = self.cluster_lr if name.startswith("cluster_") else factor
            groups.setdefault((decay, predictor and self.fix_pred_lr, factor), []).append(parameter)
        return [
            {"params": params, "weight_decay": decay, "fixed_lr": fixed, "lr_factor": factor}
            for (decay, fixed, factor), params in groups.items()
        ]

    def before_epoch(self, progress: float) -> None:
        """Prepare an epoch; `progress` is the share of the run's steps that is done."""

    def before_step(self, progress: float) -> None:
        """Modify the gradients before the step of the optimizer; `progress` as in `before_epoch`."""

    def after_step(self, progress: float) -> None:
        """Update buffers and target networks after a step; `progress` includes that step."""


@torch.no_grad()
def follow(target: nn.Module, online: nn.Module, momentum: float) -> None:
    """Move the parameters of a target network towards the online ones, except batch norm statistics."""
    for ours, theirs in zip(target.parameters(), online.parameters(), strict=True):
        ours.lerp_(theirs, 1 - momentum)


def float32(tensor: Tensor) -> contextlib.AbstractContextManager[Any]:
    """Return a context that disables autocasting, to compute a loss in the precision of its inputs."""
    return torch.autocast(tensor.device.type, enabled=False)
