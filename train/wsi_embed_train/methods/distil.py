"""Distillation: a student learns the features of a trained teacher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from wsi_embed_train.distributed import gather
from wsi_embed_train.methods.base import Encoder, Method, Step, float32


class Taught(NamedTuple):
    """Outputs of a teacher for a batch of tiles.

    Attributes:
        features: Features, float32 [B, T].
        clusters: Clusters, int64 [B]; None if the teacher has no cluster head.
    """

    features: Tensor
    clusters: Tensor | None = None


class Distil(Method):
    """Student whose features give those of a teacher by a linear map, and have the same similarities.

    Loss: `1 - cos(p, t) + relational * similarity_distance(f, t) + cluster_weight * cross entropy`, where f
    are the features of the student, p their projections and t the features of the teacher. All of them are
    centred by their mean over the batch, because features of different tiles have most of their length in
    common, and a student could reach a high cosine by learning this part alone.

    The projector is linear, so that what the student knows is in its features, which are exported, and not
    in the projector, which is not. With a weight, a cluster head learns the clusters of the teacher, so that
    student and teacher number them alike.

    Args:
        backbone: Name of the backbone of the student; see `make_backbone`.
        teacher_sees: Input of the teacher: `view`, the augmented view of the student (Beyer et al., CVPR
            2022), or `tile`, the tile as it is.
        relational: Weight of the relational term.
        cluster_weight: Weight of the cross entropy with the clusters of the teacher; 0: no cluster head.
        teacher_dim: Number of features T of the teacher.
        teacher_clusters: Number of clusters K of the teacher; None without a cluster head.
    """

    n_views = 1
    needs_teacher = True

    def __init__(
        self,
        *,
        backbone: str,
        teacher_sees: str,
        relational: float,
        teacher_dim: int,
        teacher_clusters: int | None = None,
        cluster_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.teacher_sees, self.relational, self.cluster_weight = teacher_sees, relational, cluster_weight
        self.encoder = Encoder(backbone, lambda width: nn.Linear(width, teacher_dim, bias=False))
        self.cluster_assigner: nn.Linear | None = None
        if cluster_weight > 0 and teacher_clusters is not None:
            self.cluster_assigner = nn.Linear(teacher_dim, teacher_clusters)

    def forward(
        self, views: Sequence[Tensor], labels: Tensor | None = None, taught: Taught | None = None
    ) -> Step:
        """Return the loss of one view and the teacher's outputs; see `Method.forward`."""
        if taught is None:
            raise ValueError("distillation needs the outputs of a teacher")
        features = self.encoder.backbone(views[0])
        projection = self.encoder.projector(features)
        with float32(projection):
            teacher = centred(gather(taught.features))
            distance = cosine_distance(centred(gather(projection.float())), teacher)
            relational = similarity_distance(centred(gather(features.float())), teacher)
        loss = distance + self.relational * relational
        terms = {"cosine_distance": distance.detach(), "relational": relational.detach()}
        if self.cluster_assigner is None or taught.clusters is None:
            return Step(loss, terms, projection.detach())
        logits = self.cluster_assigner(projection).float()
        cross_entropy = F.cross_entropy(logits, taught.clusters)
        terms["cross_entropy"] = cross_entropy.detach()
        terms["cluster_agreement"] = (logits.argmax(dim=1) == taught.clusters).float().mean()
        return Step(loss + self.cluster_weight * cross_entropy, terms, projection.detach(), logits.detach())

    @property
    def cluster_head(self) -> nn.Sequential | None:
        """Module from projections [B, T] to cluster logits [B, K]; None if there is none."""
        return None if self.cluster_assigner is None else nn.Sequential(self.cluster_assigner)


def centred(rows: Tensor) -> Tensor:
    """Return rows [B, D] without their mean, with length 1."""
    return F.normalize(rows - rows.mean(dim=0), dim=1)


def cosine_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Return one minus the mean cosine of corresponding rows of length 1, [B, D] each."""
    return 1 - (student * teacher).sum(dim=1).mean()


def similarity_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean squared distance of the rows of two similarity matrices, 0 to 4.

    Tung and Mori, "Similarity-preserving knowledge distillation", ICCV 2019, equations 2 to 4, times B, so
    that its size does not depend on the batch. The similarities are cosines.

    Args:
        student: Rows of length 1, float32 [B, D].
        teacher: Rows of the same tiles, [B, T].
    """
    ours, theirs = (F.normalize(rows @ rows.T, dim=1) for rows in (student, teacher))
    return (ours - theirs).square().sum(dim=1).mean()
