"""Schedules of the learning rate and of the target's momentum over a run."""

from __future__ import annotations

import math


def learning_rate_factor(epoch: int, epochs: int, warmup_epochs: int = 0) -> float:
    """Return the factor on the learning rate in an epoch: linear warm-up, then a cosine to zero.

    Args:
        epoch: Index of the epoch, from 0.
        epochs: Number of epochs of the run.
        warmup_epochs: Number of epochs of the warm-up, after which the factor is 1.

    Returns:
        In [0, 1]; without a warm-up `(1 + cos(pi * epoch / epochs)) / 2`, as published.
    """
    if epoch < warmup_epochs:
        return (epoch + 1) / (warmup_epochs + 1)
    return cosine((epoch - warmup_epochs) / max(1, epochs - warmup_epochs), 1.0, 0.0)


def cosine(progress: float, start: float, end: float) -> float:
    """Interpolate from `start` to `end` by half a cosine over progress 0 to 1 (Grill et al., 2020, 3.2)."""
    if start == end:
        return start
    return end - (end - start) * (1 + math.cos(math.pi * min(1.0, progress))) / 2
