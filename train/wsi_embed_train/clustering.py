"""The cluster term of CluBYOL and CluSiam: push the centroids of the clusters apart."""

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
    """Return the mean pairwise cosine similarity of the centroids of the non-empty clusters.

    Each row is assigned to one cluster by a straight-through Gumbel-softmax. The centroid of a cluster is
    the mean of its L2-normalised rows. Minimising the result spreads the clusters over the sphere.
    Wu et al., ICCV 2023, section 3.2, as in the authors' code (both views stacked along N).

    Args:
        representations: Projections, float [N, D]. No gradient flows into them.
        logits: Output of the cluster assigner, float [N, K].
        temperature: Temperature of the Gumbel-softmax.
        generator: Generator of the Gumbel noise; the global one by default.
        noise: Gumbel noise, float32 [N, K], for processes that form clusters together and must use the
            same noise; drawn by default.

    Returns:
        A float32 scalar in [-1, 1], differentiable in `logits`; 1.0 with zero gradient if fewer than two
        clusters are non-empty. It is computed in float32 under any precision.

    Raises:
        ValueError: If the shapes are not [N, D] and [N, K], or the noise is not [N, K].

    Example:
        >>> import torch
        >>> from wsi_embed_train import cluster_similarity
        >>> logits = torch.tensor([[1000.0, 0.0], [0.0, 1000.0]])
        >>> cluster_similarity(torch.eye(2), logits)
        tensor(0.)
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
        # masks instead of indexing, so that the CPU never waits for a GPU
        mean = (centroids @ centroids.T * pairs).sum() / pairs.sum().clamp(min=1)
        return torch.where(pairs.any(), mean, torch.ones_like(mean))


def gumbel_noise(logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw standard Gumbel noise, float32, with the shape and device of the logits."""
    return -torch.empty_like(logits, dtype=torch.float32).exponential_(generator=generator).log()


def global_cluster_similarity(
    representations: Tensor, logits: Tensor, *, noise: Tensor | None = None
) -> Tensor:
    """Compute `cluster_similarity` over the rows of all processes, the global batch.

    Every process draws the noise of its own rows and shares it with the others.

    Args:
        representations: Projections of this process, float [N, D].
        logits: Logits of this process, float [N, K].
        noise: Gumbel noise of the rows of this process, float32 [N, K]; drawn by default.
    """
    drawn = gumbel_noise(logits) if noise is None else noise
    return cluster_similarity(gather(representations.detach()), gather(logits), noise=gather(drawn))


def _straight_through(soft: Tensor) -> Tensor:
    """Return one-hot rows [N, K] with the gradient of the softmax (Jang et al., ICLR 2017)."""
    hard = F.one_hot(soft.argmax(dim=1), soft.shape[1]).to(soft.dtype)
    return hard - soft.detach() + soft
