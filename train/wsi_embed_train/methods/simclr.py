"""SimCLR: find the other view of a tile among all other tiles."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsi_embed_train.distributed import gather
from wsi_embed_train.methods.base import Encoder, Method, Step, float32


class SimCLR(Method):
    """Chen et al., "A simple framework for contrastive learning", ICML 2020.

    Args:
        backbone: Name of the backbone; see `make_backbone`.
        feat_size: Width D of the projection (128).
        projector_hidden: Hidden width of the projector (2048; the width of a ResNet-50's features).
        temperature: Temperature of the contrastive loss (0.1).
    """

    def __init__(self, *, backbone: str, feat_size: int, projector_hidden: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.encoder = Encoder(
            backbone,
            lambda width: nn.Sequential(
                nn.Linear(width, projector_hidden, bias=False),
                nn.BatchNorm1d(projector_hidden),
                nn.ReLU(inplace=True),
                nn.Linear(projector_hidden, feat_size, bias=False),
                nn.BatchNorm1d(feat_size),
            ),
        )

    def forward(self, views: Sequence[Tensor], labels: Tensor | None = None) -> Step:
        """Return the loss of a pair of views; see `Method.forward`."""
        z1, z2 = (self.encoder(view) for view in views)
        loss = nt_xent(gather(z1), gather(z2), self.temperature)
        return Step(loss, {"contrast": loss.detach()}, torch.cat([z1, z2]).detach())


def nt_xent(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    """Return the normalised temperature-scaled cross entropy of finding each row's other view.

    Chen et al., 2020, equation 1, in float32.

    Args:
        z1: Projections of the first view, float [B, D].
        z2: Projections of the second view, in the same order.
        temperature: Divisor of the cosines.
    """
    with float32(z1):
        rows = F.normalize(torch.cat([z1, z2]).float(), dim=1)
        logits = rows @ rows.T / temperature
        logits = logits.masked_fill(torch.eye(len(rows), dtype=torch.bool, device=rows.device), -torch.inf)
        partner = torch.arange(len(rows), device=rows.device).roll(len(z1))
        return F.cross_entropy(logits, partner)
