"""How learning rate and momentum of the target change over a run. Pure functions."""

from __future__ import annotations

import math


def learning_rate_factor(epoch: int, epochs: int, warmup_epochs: int = 0) -> float:
    """Part of the learning rate that an epoch uses: linear warm-up, then a cosine to zero.

    Args:
        epoch: From 0.
        epochs: Of the run.
        warmup_epochs: Epochs of the warm-up, at the end of which the rate is whole.

    Returns:
        In [0, 1]; without a warm-up `(1 + cos(pi * epoch / epochs)) / 2`, as published.
    """
    if epoch < warmup_epochs:
        return (epoch + 1) / (warmup_epochs + 1)
    return cosine((epoch - warmup_epochs) / max(1, epochs - warmup_epochs), 1.0, 0.0)


def cosine(progress: float, start: float, end: float) -> float:
    """Half a cosine from `start` at progress 0 to `end` at progress 1 (Grill et al., 2020, section 3.2)."""
    if start == end:
        return start
    return end - (end - start) * (1 + math.cos(math.pi * min(1.0, progress))) / 2
