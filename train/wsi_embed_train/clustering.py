"""The cluster term of CluBYOL and CluSiam: pull assignments apart by pushing centroids apart."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def cluster_similarity(
    representations: Tensor,
    logits: Tensor,
    *,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Mean pairwise cosine similarity of the centroids of the non-empty clusters.

    Each row is given to one cluster by a straight-through Gumbel-softmax; a cluster's centroid is
    the mean of its L2-normalised rows. Minimising the result spreads the clusters over the sphere.
    Wu et al., ICCV 2023, section 3.2, as in the authors' code (both views stacked along N).

    Args:
        representations: Projections, float [N, D]. No gradient flows into them.
        logits: The cluster assigner's output, float [N, K].
        temperature: Of the Gumbel-softmax.
        generator: Source of the Gumbel noise; the global one by default.

    Returns:
        A float32 scalar in [-1, 1], differentiable in `logits`; 1.0, without any pull, when fewer
        than two clusters are non-empty. Computed in float32 under any precision.

    Raises:
        ValueError: The shapes are not [N, D] and [N, K].
    """
    if representations.ndim != 2 or logits.ndim != 2 or len(representations) != len(logits):
        raise ValueError(
            f"expected representations [N, D] and logits [N, K], got "
            f"{tuple(representations.shape)} and {tuple(logits.shape)}"
        )
    with torch.autocast(logits.device.type, enabled=False):
        rows = F.normalize(representations.detach().float(), dim=1)
        assignment = _straight_through_gumbel(logits.float(), temperature, generator)
        counts = assignment.sum(dim=0)
        centroids = F.normalize(assignment.T @ rows / counts.clamp(min=1).unsqueeze(1), dim=1)
        filled = counts.detach() > 0.5
        pairs = torch.triu(filled.unsqueeze(0) & filled.unsqueeze(1), diagonal=1)
        if not pairs.any():
            return logits.float().sum() * 0 + 1.0
        return (centroids @ centroids.T)[pairs].mean()


def _straight_through_gumbel(logits: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    """One-hot rows [N, K] whose gradient is the Gumbel-softmax's (Jang et al., ICLR 2017)."""
    noise = -torch.empty_like(logits).exponential_(generator=generator).log()
    soft = ((logits + noise) / temperature).softmax(dim=1)
    hard = F.one_hot(soft.argmax(dim=1), logits.shape[1]).to(soft.dtype)
    return hard - soft.detach() + soft
