"""SimSiam with the networks of CluSiam: a predictor and a stopped gradient, no target network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from wsi_embed_train.methods.base import Encoder, Step
from wsi_embed_train.methods.siamese import Siamese, mean_cosine, predictor, projector


class SimSiam(Siamese):
    """Chen and He, "Exploring simple siamese representation learning", CVPR 2021.

    Loss: `-(cos(p1, z2) + cos(p2, z1)) / 2`, without gradient into z. It is CluSiam without its cluster term.

    Args:
        backbone: Name of the backbone; see `make_backbone`.
        feat_size: Width D of the projection (2048).
        predictor_hidden: Hidden width of the predictor (512).
        predictor_lr: Factor on the learning rate of the predictor.
        fix_pred_lr: Whether the learning rate of the predictor stays constant (true).
    """

    def __init__(
        self,
        *,
        backbone: str,
        feat_size: int,
        predictor_hidden: int,
        predictor_lr: float = 1.0,
        fix_pred_lr: bool = False,
    ) -> None:
        super().__init__()
        self.predictor_lr, self.fix_pred_lr = predictor_lr, fix_pred_lr
        self.encoder = Encoder(backbone, lambda width: projector(width, feat_size))
        self.predictor = predictor(feat_size, predictor_hidden, bias=False)

    def forward(self, views: Sequence[Tensor], labels: Tensor | None = None) -> Step:
        """Return the loss of a pair of views; see `Method.forward`."""
        projections, invariance = self.compare(views)
        loss = invariance / 2
        return Step(loss, {"invariance": loss.detach()}, torch.cat(projections).detach())

    def compare(self, views: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Return the projections of each view, and the negative sum of the two cosines."""
        projections = [self.encoder(view) for view in views]
        predicted = [self.predictor(projection) for projection in projections]
        invariance = -mean_cosine(predicted[0], projections[1]) - mean_cosine(predicted[1], projections[0])
        return projections, invariance
