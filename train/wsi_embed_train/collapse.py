"""Diagnosis of a collapsing training: figures of one batch, the kind of collapse, and a remedy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


def representation_figures(features: Tensor) -> dict[str, float]:
    """Measure how widely the representations of a batch spread.

    Args:
        features: Representations, float [N, D] with N >= 2.

    Returns:
        `feature_std`: standard deviation of the L2-normalised rows, averaged over dimensions and multiplied
        by the square root of D; 1 for rows spread evenly over the sphere, 0 if all rows are equal (Chen and
        He, "Exploring Simple Siamese Representation Learning", CVPR 2021, section 4.1).
        `effective_rank`: exponential of the entropy of the normalised singular values of the centred
        rows, the number of directions in use (Roy and Vetterli, EUSIPCO 2007; Garrido et al., "RankMe",
        ICML 2023, without centring).
    """
    rows = features.detach().float()
    std = F.normalize(rows, dim=1).std(dim=0).mean() * math.sqrt(rows.shape[1])
    values = torch.linalg.svdvals(rows - rows.mean(dim=0))
    shares = values / values.sum().clamp(min=1e-12)
    entropy = -(shares * shares.clamp(min=1e-12).log()).sum()
    return {"feature_std": float(std), "effective_rank": float(entropy.exp())}


def assignment_figures(
    logits: Tensor, generator: torch.Generator | None = None, *, scale: float = 1.0
) -> dict[str, float]:
    """Measure how the assigner spreads a batch over the clusters, without and with Gumbel noise.

    Args:
        logits: Cluster logits, float [N, K].
        generator: Generator of the noise; by default a new one, so that measuring does not affect training.
        scale: Scale of the noise.

    Returns:
        `clusters_used` and `clusters_noisy`: number of clusters chosen without and with noise.
        `noise_kept`: share of rows whose cluster does not change with noise.
        `largest_share`: share of rows in the largest cluster, without noise.
        `assignment_entropy`: entropy of the assignments without noise, 0 to 1 (even use).
        `logit_margin`: mean difference between the largest and the second largest logit.
    """
    logits = logits.detach().float()
    generator = generator or torch.Generator(logits.device).manual_seed(0)
    noise = -scale * torch.empty_like(logits).exponential_(generator=generator).log()
    plain, noisy = logits.argmax(dim=1), (logits + noise).argmax(dim=1)
    count = logits.shape[1]
    shares = torch.bincount(plain, minlength=count) / len(logits)
    best = logits.topk(2, dim=1).values
    return {
        "clusters_used": float((shares > 0).sum()),
        "clusters_noisy": float((torch.bincount(noisy, minlength=count) > 0).sum()),
        "noise_kept": float((plain == noisy).float().mean()),
        "largest_share": float(shares.max()),
        "assignment_entropy": float(torch.special.entr(shares).sum() / math.log(count)),
        "logit_margin": float((best[:, 0] - best[:, 1]).mean()),
    }


@dataclass(frozen=True)
class Collapse:
    """Collapse of a training.

    Attributes:
        kind: `representation`, `dominant cluster` or `noise decides`.
        what: Description of the figures that show it.
        remedy: Advice on which settings to change.
    """

    kind: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"collapse ({self.kind}): {self.what}; {self.remedy}"


# A representation this narrow cannot tell tiles apart: a fifth of an even spread (lightly warns there too),
# or little more than one or two directions.
LEAST_STD, LEAST_RANK = 0.2, 3.0
# First mode of the authors: one or a few dimensions of the logits are always largest, despite the noise.
LARGEST_SHARE, LEAST_KEPT = 0.9, 0.5
# Second mode: few clusters without noise, nearly all of them with noise (CluSiam#5).
FEW_CLUSTERS, MANY_CLUSTERS = 0.1, 0.5


def diagnose(history: Sequence[Mapping[str, float]], clusters: int | None, patience: int) -> Collapse | None:
    """Return the collapse that the latest figures agree on, or None.

    The two modes of the cluster term are described by the authors (github.com/wwyi1828/CluSiam, issues 4
    and 5).

    Args:
        history: Figures computed by the functions of this module, oldest first.
        clusters: Number of clusters K; None without a cluster head.
        patience: Number of successive figures that have to show the same kind of collapse.
    """
    if len(history) < patience:
        return None
    found = [_look(figures, clusters) for figures in history[-patience:]]
    last = found[-1]
    return last if last and all(f and f.kind == last.kind for f in found) else None


def _look(figures: Mapping[str, float], clusters: int | None) -> Collapse | None:
    std, rank = figures["feature_std"], figures["effective_rank"]
    if std < LEAST_STD or rank < LEAST_RANK:
        return Collapse(
            "representation",
            f"all tiles get nearly the same features (spread {std:.2f} of 1, effective rank {rank:.1f})",
            "lower lr, or raise ema or batch_size",
        )
    if clusters is None:
        return None
    share, kept, used = figures["largest_share"], figures["noise_kept"], figures["clusters_used"]
    few = used < FEW_CLUSTERS * clusters
    if (share > LARGEST_SHARE or few) and kept > LEAST_KEPT:
        return Collapse(
            "dominant cluster",
            f"{used:.0f} of {clusters} clusters take all tiles, the largest {100 * share:.0f} %, with Gumbel "
            "noise or without",
            "the cluster term is too heavy: lower alpha, or lr",
        )
    noisy = figures["clusters_noisy"]
    if few and noisy > MANY_CLUSTERS * clusters and kept < LEAST_KEPT:
        return Collapse(
            "noise decides",
            f"{used:.0f} of {clusters} clusters without Gumbel noise, {noisy:.0f} with it: the logits are "
            "nearly alike",
            "the cluster term is too light: raise alpha",
        )
    return None
