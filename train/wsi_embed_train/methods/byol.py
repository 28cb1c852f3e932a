"""BYOL with the networks of CluBYOL: an online encoder predicts the projections of a slowly moving copy."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from wsi_embed_train.methods.base import Encoder, Step, follow
from wsi_embed_train.methods.siamese import Siamese, mean_cosine, predictor, projector
from wsi_embed_train.schedule import cosine


class BYOL(Siamese):
    """Grill et al., "Bootstrap your own latent", NeurIPS 2020: CluBYOL without its cluster term.

    Loss: `2 - cos(p1, t2) - cos(p2, t1)`, half of the paper's squared distances of unit vectors.

    Args:
        backbone: Name of the backbone; see `make_backbone`.
        feat_size: Width D of the projection.
        predictor_hidden: Hidden width of the predictor.
        ema: Momentum of the target network at the start.
        ema_end: Momentum at the end, reached by half a cosine; None: constant, as in CluBYOL.
        predictor_lr: Factor on the learning rate of the predictor.
        fix_pred_lr: Whether the learning rate of the predictor stays constant.
    """

    def __init__(
        self,
        *,
        backbone: str,
        feat_size: int,
        predictor_hidden: int,
        ema: float,
        ema_end: float | None = None,
        predictor_lr: float = 1.0,
        fix_pred_lr: bool = False,
    ) -> None:
        super().__init__()
        self.ema, self.ema_end = ema, ema if ema_end is None else ema_end
        self.predictor_lr, self.fix_pred_lr = predictor_lr, fix_pred_lr
        self.encoder = Encoder(backbone, lambda width: projector(width, feat_size))
        self.predictor = predictor(feat_size, predictor_hidden, bias=True)
        self.target = copy.deepcopy(self.encoder).requires_grad_(False)

    def forward(self, views: Sequence[Tensor], labels: Tensor | None = None) -> Step:
        """Return the loss of a pair of views; see `Method.forward`."""
        projections, invariance = self.compare(views)
        return Step(invariance, {"invariance": invariance.detach()}, torch.cat(projections).detach())

    def compare(self, views: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Return the projections of each view, and the distance of predictions from target projections."""
        projections = [self.encoder(view) for view in views]
        predicted = [self.predictor(projection) for projection in projections]
        with torch.no_grad():
            wanted = [self.target(view) for view in views]
        invariance = 2 - mean_cosine(predicted[0], wanted[1]) - mean_cosine(predicted[1], wanted[0])
        return projections, invariance

    def after_step(self, progress: float) -> None:
        """Move the target network towards the online encoder."""
        follow(self.target, self.encoder, cosine(progress, self.ema, self.ema_end))
