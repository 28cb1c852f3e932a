"""Barlow Twins: bring the cross-correlation of two views close to the identity."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from wsi_embed_train.distributed import gather
from wsi_embed_train.methods.base import Encoder, Method, Step, float32


class BarlowTwins(Method):
    """Zbontar et al., "Barlow Twins: self-supervised learning via redundancy reduction", ICML 2021.

    Args:
        backbone: Name of the backbone; see `make_backbone`.
        feat_size: Width D of the projection (8192 for a ResNet-50; the loss has D x D terms).
        projector_hidden: Width of the two hidden layers of the projector (8192).
        redundancy: Weight lambda of the off-diagonal terms (0.005).
    """

    def __init__(self, *, backbone: str, feat_size: int, projector_hidden: int, redundancy: float) -> None:
        super().__init__()
        self.redundancy = redundancy
        self.encoder = Encoder(
            backbone,
            lambda width: nn.Sequential(
                nn.Linear(width, projector_hidden, bias=False),
                nn.BatchNorm1d(projector_hidden),
                nn.ReLU(inplace=True),
                nn.Linear(projector_hidden, projector_hidden, bias=False),
                nn.BatchNorm1d(projector_hidden),
                nn.ReLU(inplace=True),
                nn.Linear(projector_hidden, feat_size, bias=False),
            ),
        )

    def forward(self, views: Sequence[Tensor], labels: Tensor | None = None) -> Step:
        """Return the loss of a pair of views; see `Method.forward`."""
        z1, z2 = (self.encoder(view) for view in views)
        invariance, redundancy = cross_correlation_terms(gather(z1), gather(z2))
        loss = invariance + self.redundancy * redundancy
        terms = {"invariance": invariance.detach(), "redundancy": redundancy.detach()}
        return Step(loss, terms, torch.cat([z1, z2]).detach())


def cross_correlation_terms(z1: Tensor, z2: Tensor) -> tuple[Tensor, Tensor]:
    """Return the squared distance of the cross-correlation from the identity, on and off the diagonal.

    Zbontar et al., 2021, equation 1, in float32; variances are divided by B, as in batch norm.

    Args:
        z1: Projections of the first view, float [B, D].
        z2: Projections of the second view, in the same order.

    Returns:
        Sum of (1 - c_ii)^2, and sum of c_ij^2 over i != j.
    """
    with float32(z1):
        correlation = _standardised(z1.float()).T @ _standardised(z2.float()) / len(z1)
        diagonal = correlation.diagonal()
        on = (1 - diagonal).square().sum()
        return on, correlation.square().sum() - diagonal.square().sum()


def _standardised(z: Tensor) -> Tensor:
    return (z - z.mean(dim=0)) / (z.var(dim=0, correction=0) + 1e-5).sqrt()
