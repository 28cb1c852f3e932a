"""The cluster term of CluBYOL and CluSiam: pull assignments apart by pushing centroids apart."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from wsi_embed_train.distributed import gather


def cluster_similarity(
    representations: Tensor,
    logits: Tensor,
    *,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
    noise: Tensor | None = None,
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
        noise: The Gumbel noise itself, float32 [N, K], in place of drawing it: processes that form
            clusters together must draw it together.

    Returns:
        A float32 scalar in [-1, 1], differentiable in `logits`; 1.0, without any pull, when fewer
        than two clusters are non-empty. Computed in float32 under any precision.

    Raises:
        ValueError: The shapes are not [N, D] and [N, K], or the noise has not the logits'.
    """
    if representations.ndim != 2 or logits.ndim != 2 or len(representations) != len(logits):
        raise ValueError(
            f"expected representations [N, D] and logits [N, K], got "
            f"{tuple(representations.shape)} and {tuple(logits.shape)}"
        )
    if noise is not None and noise.shape != logits.shape:
        raise ValueError(f"expected noise {tuple(logits.shape)}, got {tuple(noise.shape)}")
    with torch.autocast(logits.device.type, enabled=False):
        rows = F.normalize(representations.detach().float(), dim=1)
        if noise is None:
            noise = gumbel_noise(logits, generator)
        assignment = _straight_through(((logits.float() + noise.float()) / temperature).softmax(dim=1))
        counts = assignment.sum(dim=0)
        centroids = F.normalize(assignment.T @ rows / counts.clamp(min=1).unsqueeze(1), dim=1)
        filled = counts.detach() > 0.5
        pairs = torch.triu(filled.unsqueeze(0) & filled.unsqueeze(1), diagonal=1).float()
        # by masks and not by indexing: nothing here waits for a GPU
        mean = (centroids @ centroids.T * pairs).sum() / pairs.sum().clamp(min=1)
        return torch.where(pairs.any(), mean, torch.ones_like(mean))


def gumbel_noise(logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Standard Gumbel noise, float32, of the shape and on the device of the logits."""
    return -torch.empty_like(logits, dtype=torch.float32).exponential_(generator=generator).log()


def global_cluster_similarity(
    representations: Tensor, logits: Tensor, *, noise: Tensor | None = None
) -> Tensor:
    """`cluster_similarity` of the rows of all processes: clusters of the global batch.

    Every process draws the noise of its own rows, and all of them see all of it.

    Args:
        representations: This process's projections, float [N, D].
        logits: This process's logits, float [N, K].
        noise: Gumbel noise of this process's rows, float32 [N, K]; drawn by default.
    """
    drawn = gumbel_noise(logits) if noise is None else noise
    return cluster_similarity(gather(representations.detach()), gather(logits), noise=gather(drawn))


def _straight_through(soft: Tensor) -> Tensor:
    """One-hot rows [N, K] whose gradient is the softmax's (Jang et al., ICLR 2017)."""
    hard = F.one_hot(soft.argmax(dim=1), soft.shape[1]).to(soft.dtype)
    return hard - soft.detach() + soft
