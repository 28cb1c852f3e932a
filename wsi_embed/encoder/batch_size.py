"""Choice of the batch size for a device."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from wsi_embed.encoder.base import Encoder

# On a CPU the batch size hardly affects speed, and small batches need little memory.
CPU_BATCH = 16
GPU_BATCHES = (64, 128, 256, 512, 1024)
# A larger batch must be faster by this factor to be worth its memory.
GAIN = 1.05
TRIAL_SECONDS = 0.2


def default_batch(encoder: Encoder) -> int:
    """Return a batch size for an encoder: a constant on CPUs, measured on GPUs."""
    gpu = encoder.on_gpu
    return find_batch(encoder, GPU_BATCHES) if gpu else CPU_BATCH


def find_batch(encoder: Encoder, sizes: Sequence[int]) -> int:
    """Return the smallest batch size beyond which larger ones gain little or do not fit into memory.

    Args:
        encoder: Encoder to measure; it encodes random tiles for a fraction of a second per size.
        sizes: Batch sizes to try, ascending.
    """
    best, fastest = sizes[0], 0.0
    for size in sizes:
        # in a short-lived thread, so that the encoder's per-thread buffers are freed
        with ThreadPoolExecutor(1) as trial:
            rate = trial.submit(_rate, encoder, size).result()
        if encoder.most is not None and encoder.most < size:
            return min(best, encoder.most)
        if rate < fastest * GAIN:
            break
        best, fastest = size, rate
    return best


def _rate(encoder: Encoder, size: int) -> float:
    """Return the throughput in tiles per second."""
    px = encoder.metadata.tile_px
    tiles = np.random.default_rng(0).integers(0, 256, (size, px, px, 3), np.uint8)
    for _ in range(4):  # warm up: allocate buffers and capture the graph
        encoder.encode(tiles)
    began, count = time.perf_counter(), 0
    while (seconds := time.perf_counter() - began) < TRIAL_SECONDS:
        encoder.encode(tiles)
        count += size
    return count / seconds
