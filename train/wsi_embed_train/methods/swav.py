"""SwAV: predict the prototypes to which the other view of a tile is assigned."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsi_embed_train.distributed import gather
from wsi_embed_train.methods.base import Encoder, Method, Step, float32


class SwAV(Method):
    """Caron et al., "Unsupervised learning of visual features by contrasting cluster assignments", 2020.

    It uses two views of full size, without the additional small crops of the paper.

    Args:
        backbone: Name of the backbone; see `make_backbone`.
        feat_size: Width D of the projection (128).
        projector_hidden: Hidden width of the projector (2048).
        prototypes: Number of prototypes (3000).
        temperature: Temperature of the predictions (0.1).
        sinkhorn_epsilon: Smoothness of the assignments (0.05).
        sinkhorn_iterations: Number of iterations that balance the assignments (3).
        freeze_prototypes: Share of the run, from its start, in which the prototypes are frozen (one epoch).
        queue: Number of earlier projections of each view used in the balancing, for batches that are small
            compared with the number of prototypes (3840); 0: none.
        queue_from: Share of the run after which the queue is used (15 epochs).
    """

    def __init__(
        self,
        *,
        backbone: str,
        feat_size: int,
        projector_hidden: int,
        prototypes: int,
        temperature: float,
        sinkhorn_epsilon: float,
        sinkhorn_iterations: int,
        freeze_prototypes: float = 0.0,
        queue: int = 0,
        queue_from: float = 0.0,
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.epsilon, self.iterations = sinkhorn_epsilon, sinkhorn_iterations
        self.freeze_prototypes, self.queue_from = freeze_prototypes, queue_from
        self.encoder = Encoder(
            backbone,
            lambda width: nn.Sequential(
                nn.Linear(width, projector_hidden),
                nn.BatchNorm1d(projector_hidden),
                nn.ReLU(inplace=True),
                nn.Linear(projector_hidden, feat_size),
            ),
        )
        self.prototypes = nn.Linear(feat_size, prototypes, bias=False)
        self._unit_prototypes()
        # Newest rows first; rows of zeros are empty.
        self.queue: Tensor
        self.progress: Tensor
        self.register_buffer("queue", torch.zeros(2, queue, feat_size))
        self.register_buffer("progress", torch.zeros(()))

    def forward(self, views: Sequence[Tensor], labels: Tensor | None = None) -> Step:
        """Return the loss of a pair of views; see `Method.forward`."""
        projections = [self.encoder(view) for view in views]
        with float32(projections[0]):
            units = [F.normalize(z.float(), dim=1) for z in projections]
            scores = [gather(self.prototypes(z)) for z in units]
            codes = [self._codes(of_view, view) for view, of_view in enumerate(scores)]
            loss = swapped_prediction(scores, codes, self.temperature)
        self._enqueue(units)
        return Step(loss, {"swapped_prediction": loss.detach()}, torch.cat(projections).detach())

    @torch.no_grad()
    def _codes(self, scores: Tensor, view: int) -> Tensor:
        """Return the assignments [B, K] of the rows of a view, balanced together with its queue."""
        queue, rows = self.queue[view], scores
        if len(queue) and float(self.progress) >= self.queue_from and bool(queue[-1].any()):
            rows = torch.cat([scores, self.prototypes(queue)])
        return sinkhorn(rows, self.epsilon, self.iterations)[: len(scores)]

    @torch.no_grad()
    def _enqueue(self, units: list[Tensor]) -> None:
        for view, rows in enumerate(units):
            new = gather(rows.detach())
            self.queue[view] = torch.cat([new, self.queue[view]])[: self.queue.shape[1]]

    @torch.no_grad()
    def _unit_prototypes(self) -> None:
        self.prototypes.weight.copy_(F.normalize(self.prototypes.weight, dim=1))

    def before_step(self, progress: float) -> None:
        """Freeze the prototypes at the start of the run."""
        if progress < self.freeze_prototypes:
            self.prototypes.weight.grad = None

    def after_step(self, progress: float) -> None:
        """Normalise the prototypes to length 1."""
        self._unit_prototypes()
        self.progress.fill_(progress)


@torch.no_grad()
def sinkhorn(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    """Compute soft assignments that use every prototype equally (Caron et al., 2020, section 3.1).

    Args:
        scores: Cosines of rows and prototypes, float32 [B, K].
        epsilon: Smoothness: the assignments start as `exp(scores / epsilon)`.
        iterations: Number of iterations. Each normalises the columns, then the rows.

    Returns:
        float32 [B, K]; each row sums to 1.
    """
    codes = ((scores - scores.max()) / epsilon).exp()
    for _ in range(iterations):
        codes = codes / (codes.sum(dim=0, keepdim=True) * codes.shape[1])
        codes = codes / (codes.sum(dim=1, keepdim=True) * codes.shape[0])
    return codes / codes.sum(dim=1, keepdim=True)


def swapped_prediction(scores: Sequence[Tensor], codes: Sequence[Tensor], temperature: float) -> Tensor:
    """Return the mean cross entropy of the prediction of each view and the assignment of the other.

    Caron et al., 2020, equation 2.

    Args:
        scores: Cosines of rows and prototypes for each of the two views, float32 [B, K].
        codes: Assignments of the same rows for each view, [B, K].
        temperature: Divisor of the scores.
    """
    first, second = (s.div(temperature).log_softmax(dim=1) for s in scores)
    return -((codes[1] * first).sum(dim=1).mean() + (codes[0] * second).sum(dim=1).mean()) / 2
