"""Statistics of a random sample of the tiles: mean and standard deviation of the pixels."""

from __future__ import annotations

import random
from collections.abc import Iterable

import numpy as np

from wsi_embed.slide import UInt8Array

STATS_SAMPLE = 512


def sample_of(count: int, seed: int, most: int = STATS_SAMPLE) -> list[int]:
    """Return the sorted indices of a random sample of at most `most` of `count` items."""
    return sorted(random.Random(seed).sample(range(count), min(most, count)))


def pixel_statistics(tiles: Iterable[UInt8Array]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Compute the mean and standard deviation of RGB, scaled to [0, 1].

    Args:
        tiles: At least one tile, uint8 [h, w, 3] each.

    Returns:
        Mean and standard deviation, three numbers each, rounded to four digits.
    """
    # counts of 8-bit values give exact sums
    counts = np.zeros((3, 256), np.int64)
    for tile in tiles:
        for channel in range(3):
            counts[channel] += np.bincount(tile[..., channel].ravel(), minlength=256)
    values = np.arange(256) / 255
    share = counts / counts.sum(1, keepdims=True)
    mean = share @ values
    std = np.sqrt(np.maximum(share @ values**2 - mean**2, 1e-8))
    return tuple(mean.round(4).tolist()), tuple(std.round(4).tolist())
