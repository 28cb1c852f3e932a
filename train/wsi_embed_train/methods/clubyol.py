"""CluBYOL: BYOL with an online cluster assigner (Wu et al., ICCV 2023)."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models

from wsi_embed.errors import UsageError
from wsi_embed_train.clustering import cluster_similarity


@dataclass(frozen=True)
class Losses:
    """Scalars of one step: their weighted sum, and each term before its weight."""

    total: Tensor
    invariance: Tensor
    cluster: Tensor


class Encoder(nn.Module):
    """Backbone and projector. Tile features are the backbone's pooled output.

    Args:
        backbone: A torchvision ResNet by name.
        feat_size: Width D of the projection.
    """

    def __init__(self, backbone: str, feat_size: int) -> None:
        super().__init__()
        if not backbone.startswith("resnet") or backbone not in models.list_models():
            raise UsageError(f"backbone {backbone!r} is not one of torchvision's ResNets (resnet18)")
        net = models.get_model(backbone, weights=None, zero_init_residual=True)
        width = net.fc.in_features
        net.fc = nn.Identity()
        self.backbone = net
        self.feature_dim = width
        last = nn.Linear(width, feat_size)
        last.bias.requires_grad = False  # the batch norm behind it cancels a bias
        self.projector = nn.Sequential(
            nn.Linear(width, width, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(inplace=True),
            nn.Linear(width, width, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(inplace=True),
            last,
            nn.BatchNorm1d(feat_size, affine=False),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Project normalised images, float [B, 3, H, W], to [B, D]."""
        projection: Tensor = self.projector(self.backbone(images))
        return projection


class CluBYOL(nn.Module):
    """The published network: online encoder, predictor, EMA target and cluster head.

    Args:
        backbone: A torchvision ResNet by name.
        feat_size: Width D of the projection (256).
        predictor_hidden: Hidden width of the predictor (4096).
        clusters: Number of clusters K (100).
        alpha: Weight of the cluster term (0.9).
        ema: Momentum of the target network (constant 0.99).
    """

    def __init__(
        self,
        backbone: str = "resnet18",
        feat_size: int = 256,
        predictor_hidden: int = 4096,
        clusters: int = 100,
        alpha: float = 0.9,
        ema: float = 0.99,
    ) -> None:
        super().__init__()
        self.alpha, self.ema = alpha, ema
        self.encoder = Encoder(backbone, feat_size)
        self.predictor = nn.Sequential(
            nn.Linear(feat_size, predictor_hidden),
            nn.BatchNorm1d(predictor_hidden),
            nn.ReLU(inplace=True),
            nn.Linear(predictor_hidden, feat_size),
        )
        self.target = copy.deepcopy(self.encoder).requires_grad_(False)
        self.cluster_projector = nn.Sequential(
            nn.Linear(feat_size, feat_size), nn.BatchNorm1d(feat_size), nn.ReLU(inplace=True)
        )
        self.cluster_assigner = nn.Linear(feat_size, clusters)

    def forward(self, view1: Tensor, view2: Tensor) -> tuple[Losses, Tensor]:
        """Losses of a pair of views.

        Both loss terms are sums over the two views, not means, as published:
        `(1 - alpha) * (2 - cos(p1, t2) - cos(p2, t1)) + alpha * cluster_similarity`.

        Args:
            view1: Normalised images, float [B, 3, H, W].
            view2: The other view of the same tiles, the same shape.

        Returns:
            The losses, and the cluster logits of both views [2B, K] for monitoring.
        """
        z1, z2 = self.encoder(view1), self.encoder(view2)
        p1, p2 = self.predictor(z1), self.predictor(z2)
        with torch.no_grad():
            t1, t2 = self.target(view1), self.target(view2)
        # Each view passes the head by itself: its batch norm sees one view at a time, as published.
        logits = torch.cat([self.assign(z1), self.assign(z2)])
        invariance = 2 - _cosine(p1, t2) - _cosine(p2, t1)
        cluster = cluster_similarity(torch.cat([z1, z2]), logits)
        total = (1 - self.alpha) * invariance + self.alpha * cluster
        return Losses(total, invariance.detach(), cluster.detach()), logits.detach()

    def assign(self, projection: Tensor) -> Tensor:
        """Cluster logits [B, K] of projections [B, D]."""
        logits: Tensor = self.cluster_assigner(self.cluster_projector(projection))
        return logits

    @torch.no_grad()
    def update_target(self) -> None:
        """Move the target's parameters towards the online ones; its batch norms run by themselves."""
        for online, target in zip(self.encoder.parameters(), self.target.parameters(), strict=True):
            target.lerp_(online, 1 - self.ema)


def _cosine(prediction: Tensor, target: Tensor) -> Tensor:
    return F.cosine_similarity(prediction.float(), target.detach().float(), dim=-1).mean()
