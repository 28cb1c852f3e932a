"""Cluster constraint that CluBYOL and CluSiam add to a siamese method (Wu et al., ICCV 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from wsi_embed_train.clustering import global_cluster_similarity, gumbel_noise
from wsi_embed_train.methods.base import Step
from wsi_embed_train.methods.siamese import Siamese


class Clustered(Siamese):
    """Siamese method with a cluster head: `(1 - alpha) * invariance + alpha * cluster_similarity`.

    As published, the invariance is a sum over the two views, not a mean.
    """

    def add_cluster_head(
        self,
        feat_size: int,
        hidden: int,
        clusters: int,
        alpha: float,
        *,
        cluster_lr: float = 1.0,
        gumbel_noise: float = 1.0,
    ) -> None:
        """Create the cluster head: from projections through a hidden layer to cluster logits."""
        self.alpha, self.cluster_lr, self.gumbel_noise = alpha, cluster_lr, gumbel_noise
        self.cluster_projector = nn.Sequential(
            nn.Linear(feat_size, hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True)
        )
        self.cluster_assigner = nn.Linear(hidden, clusters)

    def forward(self, views: Sequence[Tensor], labels: Tensor | None = None) -> Step:
        """Return the loss of a pair of views; see `Method.forward`."""
        projections, invariance = self.compare(views)
        # One view at a time, so that the batch norm of the head sees views separately, as published.
        logits = torch.cat([self.assign(projection) for projection in projections])
        representations = torch.cat(projections).detach()
        noise = self.gumbel_noise * gumbel_noise(logits)
        cluster = global_cluster_similarity(representations, logits, noise=noise)
        loss = (1 - self.alpha) * invariance + self.alpha * cluster
        terms = {"invariance": invariance.detach(), "cluster_similarity": cluster.detach()}
        return Step(loss, terms, representations, logits.detach())

    def assign(self, projection: Tensor) -> Tensor:
        """Return the cluster logits [B, K] of projections [B, D]."""
        logits: Tensor = self.cluster_assigner(self.cluster_projector(projection))
        return logits

    @property
    def cluster_head(self) -> nn.Sequential:
        """Module from projections [B, D] to cluster logits [B, K]."""
        return nn.Sequential(self.cluster_projector, self.cluster_assigner)
