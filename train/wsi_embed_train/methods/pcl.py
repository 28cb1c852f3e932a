"""PCL: contrast with other tiles, and with the centroids of clusterings of several sizes."""

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

    It combines a momentum encoder and a queue, as in MoCo v2, with ProtoNCE. Every epoch the keys in the
    queue are clustered by k-means, once for each size in `concepts`. There are two differences from the
    paper: k-means clusters the augmented tiles in the queue instead of all tiles without augmentation, and
    all other prototypes of a clustering are negatives instead of a sample of them.

    Args:
        backbone: Name of the backbone; see `make_backbone`.
        feat_size: Width D of the projection (128).
        projector_hidden: Hidden width of the projector (2048; the width of a ResNet-50's features).
        temperature: Temperature of the contrast with tiles, and mean temperature of the prototypes (0.2).
        ema: Momentum of the key encoder (0.999).
        queue: Number of keys in the queue, to contrast with and to cluster (16384).
        concepts: Number of prototypes of each clustering (25,000, 50,000 and 100,000 for the 1.28 million
            images of ImageNet).
        concepts_from: Share of the run after which prototypes are used (20 of 200 epochs).
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
        # Newest keys first; rows of zeros are empty.
        self.queue: Tensor
        self.register_buffer("queue", torch.zeros(queue, feat_size))
        # A density of zero means that there are no prototypes yet.
        for size in self.concepts:
            self.register_buffer(f"centroids_{size}", torch.zeros(size, feat_size))
            self.register_buffer(f"density_{size}", torch.zeros(size))

    def forward(self, views: Sequence[Tensor], labels: Tensor | None = None) -> Step:
        """Return the loss of a pair of views, the first as query; see `Method.forward`."""
        projection = self.encoder(views[0])
        with torch.no_grad():
            keys = F.normalize(self.target(views[1]).float(), dim=1)
        with float32(projection):
            queries = F.normalize(projection.float(), dim=1)
            # a copy, as the backward pass needs the queue before its update
            instance = info_nce(queries, keys, self.queue.clone(), self.temperature)
            prototype = proto_nce(queries, keys, [self._prototypes(k) for k in self.concepts])
        self._enqueue(keys)
        terms = {"instance": instance.detach(), "prototype": prototype.detach()}
        return Step(instance + prototype, terms, projection.detach())

    def _prototypes(self, size: int) -> Prototypes:
        return Prototypes(self.get_buffer(f"centroids_{size}"), self.get_buffer(f"density_{size}"))

    @torch.no_grad()
    def _enqueue(self, keys: Tensor) -> None:
        self.queue.copy_(torch.cat([gather(keys), self.queue])[: len(self.queue)])

    @torch.no_grad()
    def before_epoch(self, progress: float) -> None:
        """Cluster the queue once it has enough keys."""
        keys = self.queue[self.queue.any(dim=1)]
        if progress < self.concepts_from or not self.concepts or len(keys) <= max(self.concepts):
            return
        for size in self.concepts:
            found = find_prototypes(keys, size, self.temperature)
            self.get_buffer(f"centroids_{size}").copy_(found.centroids)
            self.get_buffer(f"density_{size}").copy_(found.density)

    def after_step(self, progress: float) -> None:
        """Move the key encoder towards the query encoder."""
        follow(self.target, self.encoder, self.ema)


def info_nce(queries: Tensor, keys: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """Return the loss of finding each query's own key among earlier keys (He et al., 2020, equation 1).

    Args:
        queries: Unit rows, float32 [B, D].
        keys: Unit rows of the other view, [B, D].
        negatives: Unit rows [Q, D]; rows of zeros are empty and ignored.
        temperature: Divisor of the cosines.
    """
    own = (queries * keys).sum(dim=1, keepdim=True)
    others = (queries @ negatives.T).masked_fill(~negatives.any(dim=1), -torch.inf)
    logits = torch.cat([own, others], dim=1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))


def proto_nce(queries: Tensor, keys: Tensor, clusterings: Sequence[Prototypes]) -> Tensor:
    """Return the loss of finding each query's prototype, averaged over clusterings.

    The prototype of a tile is the one nearest to its key. Li et al., 2021, equation 11.

    Args:
        queries: Unit rows, float32 [B, D].
        keys: Unit rows of the other view, [B, D].
        clusterings: Prototypes of each clustering; clusterings of density zero are ignored.
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
