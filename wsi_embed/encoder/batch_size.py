"""How many tiles a device encodes best at once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from wsi_embed.encoder.base import Encoder

# On a CPU the batch hardly matters to speed, and a small one needs little memory.
CPU_BATCH = 16
GPU_BATCHES = (64, 128, 256, 512, 1024)
# A larger batch that gains less than this is not worth its memory.
GAIN = 1.05
TRIAL_SECONDS = 0.2


def default_batch(encoder: Encoder) -> int:
    """A batch size for an encoder: fixed on CPUs, tried out on GPUs."""
    gpu = encoder.device.startswith(("cuda", "tensorrt"))
    return find_batch(encoder, GPU_BATCHES) if gpu else CPU_BATCH


def find_batch(encoder: Encoder, sizes: Sequence[int]) -> int:
    """The smallest of some batch sizes after which larger ones gain little, or do not fit.

    Args:
        encoder: Is given random tiles, for a fraction of a second each size.
        sizes: In ascending order.
    """
    best, fastest = sizes[0], 0.0
    for size in sizes:
        # in a thread that ends: what the encoder keeps for a thread goes with it
        with ThreadPoolExecutor(1) as trial:
            rate = trial.submit(_rate, encoder, size).result()
        if encoder.most is not None and encoder.most < size:
            return min(best, encoder.most)
        if rate < fastest * GAIN:
            break
        best, fastest = size, rate
    return best


def _rate(encoder: Encoder, size: int) -> float:
    """Tiles a second."""
    px = encoder.metadata.tile_px
    tiles = np.random.default_rng(0).integers(0, 256, (size, px, px, 3), np.uint8)
    for _ in range(4):  # until buffers are there, and a graph is captured
        encoder.encode(tiles)
    began, count = time.perf_counter(), 0
    while (seconds := time.perf_counter() - began) < TRIAL_SECONDS:
        encoder.encode(tiles)
        count += size
    return count / seconds
