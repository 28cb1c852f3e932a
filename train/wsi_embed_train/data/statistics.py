"""A bounded random sample of the tiles: their mean and standard deviation, and whether they can be read."""

from __future__ import annotations

import random
from collections.abc import Iterable

import numpy as np

from wsi_embed.slide import UInt8Array

STATS_SAMPLE = 512


def sample_of(count: int, seed: int, most: int = STATS_SAMPLE) -> list[int]:
    """Numbers of a random sample of at most `most` of `count`, ascending; the same for the same seed."""
    return sorted(random.Random(seed).sample(range(count), min(most, count)))


def pixel_statistics(tiles: Iterable[UInt8Array]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of RGB in [0, 1].

    Args:
        tiles: uint8 [h, w, 3] each; one at least.

    Returns:
        Mean and standard deviation, three numbers each, rounded to four digits.
    """
    # of 8-bit values exact sums come from their counts
    counts = np.zeros((3, 256), np.int64)
    for tile in tiles:
        for channel in range(3):
            counts[channel] += np.bincount(tile[..., channel].ravel(), minlength=256)
    values = np.arange(256) / 255
    share = counts / counts.sum(1, keepdims=True)
    mean = share @ values
    std = np.sqrt(np.maximum(share @ values**2 - mean**2, 1e-8))
    return tuple(mean.round(4).tolist()), tuple(std.round(4).tolist())
