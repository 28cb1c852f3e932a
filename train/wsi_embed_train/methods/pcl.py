"""PCL: contrast with other tiles, and with the centres of clusters of several sizes."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsi_embed_train.distributed import gather
from wsi_embed_train.kmeans import Prototypes, find_prototypes
from wsi_embed_train.methods.base import Encoder, Method, Step, float32, follow


class PCL(Method):
    """Li et al., "Prototypical contrastive learning of unsupervised representations", ICLR 2021.

    A momentum encoder and a queue as in MoCo v2, and ProtoNCE. Every epoch the keys in the queue are
    clustered by k-means, once for each size in `concepts`. Two things differ from the paper: k-means
    sees the augmented tiles of the queue and not every tile once more without augmentation, and the
    prototypes of a clustering that are not the tile's own are all negatives, not a sample of them.

    Args:
        backbone: A name for `make_backbone`.
        feat_size: Width D of the projection (128).
        projector_hidden: Hidden width of the projector (2048; the width of a ResNet-50's features).
        temperature: Of the contrast with tiles, and mean of the prototypes' (0.2).
        ema: Momentum of the key encoder (0.999).
        queue: Keys to contrast with, and to cluster (16384).
        concepts: Numbers of prototypes (25,000, 50,000 and 100,000 of ImageNet's 1.28 million images).
        concepts_from: Part of the run after which prototypes are used (20 of 200 epochs).
    """

    def __init__(
        self,
        *,
        backbone: str,
        feat_size: int,
        projector_hidden: int,
        temperature: float,
        ema: float,
        queue: int,
        concepts: Sequence[int],
        concepts_from: float = 0.0,
    ) -> None:
        super().__init__()
        self.temperature, self.ema = temperature, ema
        self.concepts, self.concepts_from = tuple(concepts), concepts_from
        self.encoder = Encoder(
            backbone,
            lambda width: nn.Sequential(
                nn.Linear(width, projector_hidden),
                nn.ReLU(inplace=True),
                nn.Linear(projector_hidden, feat_size),
            ),
        )
        self.target = copy.deepcopy(self.encoder).requires_grad_(False)
        # Newest keys first; zeros where there is nothing yet.
        self.queue: Tensor
        self.register_buffer("queue", torch.zeros(queue, feat_size))
        # A density of zero: prototypes that are not there yet.
        for size in self.concepts:
            self.register_buffer(f"centroids_{size}", torch.zeros(size, feat_size))
            self.register_buffer(f"density_{size}", torch.zeros(size))

    def forward(self, views: Sequence[Tensor], labels: Tensor | None = None) -> Step:
        """Loss of a pair of views, the first as query; see `Method.forward`."""
        projection = self.encoder(views[0])
        with torch.no_grad():
            keys = F.normalize(self.target(views[1]).float(), dim=1)
        with float32(projection):
            queries = F.normalize(projection.float(), dim=1)
            # a copy: the gradient needs the queue as it is now
            instance = info_nce(queries, keys, self.queue.clone(), self.temperature)
            prototype = proto_nce(queries, keys, [self._prototypes(k) for k in self.concepts])
        self._remember(keys)
        terms = {"instance": instance.detach(), "prototype": prototype.detach()}
        return Step(instance + prototype, terms, projection.detach())

    def _prototypes(self, size: int) -> Prototypes:
        return Prototypes(self.get_buffer(f"centroids_{size}"), self.get_buffer(f"density_{size}"))

    @torch.no_grad()
    def _remember(self, keys: Tensor) -> None:
        self.queue.copy_(torch.cat([gather(keys), self.queue])[: len(self.queue)])

    @torch.no_grad()
    def before_epoch(self, progress: float) -> None:
        """Cluster the queue, once the queue has enough keys."""
        keys = self.queue[self.queue.any(dim=1)]
        if progress < self.concepts_from or not self.concepts or len(keys) <= max(self.concepts):
            return
        for size in self.concepts:
            found = find_prototypes(keys, size, self.temperature)
            self.get_buffer(f"centroids_{size}").copy_(found.centroids)
            self.get_buffer(f"density_{size}").copy_(found.density)

    def after_step(self, progress: float) -> None:
        """Move the key encoder's parameters towards the query encoder's."""
        follow(self.target, self.encoder, self.ema)


def info_nce(queries: Tensor, keys: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """Each query's own key among the keys of earlier tiles (He et al., 2020, equation 1).

    Args:
        queries: Unit rows, float32 [B, D].
        keys: Unit rows of the other view, [B, D].
        negatives: Unit rows [Q, D]; rows of zeros are not there yet, and left out.
        temperature: Divides the cosines.
    """
    own = (queries * keys).sum(dim=1, keepdim=True)
    others = (queries @ negatives.T).masked_fill(~negatives.any(dim=1), -torch.inf)
    logits = torch.cat([own, others], dim=1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))


def proto_nce(queries: Tensor, keys: Tensor, clusterings: Sequence[Prototypes]) -> Tensor:
    """Each query's prototype among all, mean over clusterings (Li et al., 2021, equation 11).

    A tile's prototype is the nearest to its key.

    Args:
        queries: Unit rows, float32 [B, D].
        keys: Unit rows of the other view, [B, D].
        clusterings: Each with its own prototypes; those without are left out.
    """
    losses = []
    for found in clusterings:
        ready = (found.density > 0).all()
        logits = (
            queries @ found.centroids.T / torch.where(ready, found.density, torch.ones_like(found.density))
        )
        own = (keys @ found.centroids.T).argmax(dim=1)
        losses.append(F.cross_entropy(logits, own) * ready)
    return torch.stack(losses).mean() if losses else queries.sum() * 0
