"""Benchmark of several threads on one session, and of several sessions, on one GPU, in tiles/s.

    PYTHONPATH=. python benchmarks/gpu_sessions.py fp16.onnx --device cuda --batch 256

A job uses two threads on one session. All ways take turns; results are medians.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from benchmarks.sessions import measure
from wsi_embed import load_encoder
from wsi_embed.encoder import Encoder, EncoderPool

# Number of sessions, and of threads in each.
WAYS = ((1, 1), (1, 2), (1, 3), (2, 1), (2, 2))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=5, help="a measurement")
    args = parser.parse_args()
    pools = {
        (str(sessions), str(threads)): open_pool(args.model, args.device, sessions, threads)
        for sessions, threads in WAYS
    }
    rates = measure(pools, args.seconds, 3, args.batch)
    first = rates["1", "1"]
    print("| sessions | threads in each | tiles/s | of one |\n|---|---|---|---|")
    for (sessions, threads), rate in rates.items():
        print(f"| {sessions} | {threads} | {rate:.0f} | {rate / first:.2f} |")


def open_pool(model: Path, device: str, sessions: int, threads: int) -> EncoderPool:
    """Open sessions that take turns in a number of threads each."""
    encoders = [load_encoder(model, device=device) for _ in range(sessions)]
    return EncoderPool(encoders[0], [partial(same, each) for each in encoders * threads][1:])


def same(encoder: Encoder) -> Encoder:
    """Return an encoder."""
    return encoder


if __name__ == "__main__":
    main()
