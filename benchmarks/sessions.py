"""Benchmark of one session with all threads against sessions with one thread each, in tiles/s by engine.

    PYTHONPATH=. python benchmarks/sessions.py build/bench/fp32.onnx build/bench/int8.onnx

`pinned` pins the thread of each session to its own core (OpenVINO manages its threads itself). Batches have
16 tiles, as in a job. All variants alternate in every pass; results are medians, with the speed relative to
one session of ONNX Runtime in parentheses.
"""

from __future__ import annotations

import argparse
import os
import statistics
import threading
from functools import partial
from pathlib import Path

import numpy as np

from wsi_embed import load_encoder
from wsi_embed.diagnostics.bench import encode_rate
from wsi_embed.encoder import EncoderPool

ENGINES = {"ONNX Runtime": "cpu", "OpenVINO": "openvino", "OpenVINO bf16": "openvino:bf16"}
WAYS = ("one session", "a session a core", "pinned")
BATCH = 16


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--seconds", type=float, default=2, help="a measurement")
    parser.add_argument("--passes", type=int, default=5)
    args = parser.parse_args()
    print(f"| model | engine | {' | '.join(WAYS)} |\n|{'---|' * (2 + len(WAYS))}")
    for model in args.models:
        pools = {
            (engine, way): open_pool(model, device, way)
            for engine, device in ENGINES.items()
            for way in WAYS
            if not (device.endswith("bf16") and model.stem == "int8")
            if device == "cpu" or way != "pinned"
        }
        rates = measure(pools, args.seconds, args.passes)
        first = rates["ONNX Runtime", WAYS[0]]
        for engine in dict.fromkeys(engine for engine, _ in pools):
            found = [rates.get((engine, way), 0) for way in WAYS]
            cells = [f"{rate:.0f} ({rate / first:.2f})" if rate else "" for rate in found]
            print(f"| {model.stem} | {engine} | {' | '.join(cells)} |")


def open_pool(model: Path, device: str, way: str) -> EncoderPool:
    """Open encoders that share the cores in one of the ways."""
    cores = sorted(os.sched_getaffinity(0))
    if way == WAYS[0]:
        return EncoderPool(load_encoder(model, device=device, threads=len(cores)))
    load = partial(load_encoder, model, device=device, threads=1)
    pool = EncoderPool(load(), [load] * (len(cores) - 1))
    if way == WAYS[2]:
        pin(pool, cores)
    return pool


def pin(pool: EncoderPool, cores: list[int]) -> None:
    """Pin each thread of a pool to a core; a session of one thread computes on the calling thread."""
    together = threading.Barrier(pool.size)

    def hold(core: int) -> None:
        together.wait()  # so that each thread takes one task
        os.sched_setaffinity(threading.get_native_id(), {core})

    for future in [pool._threads.submit(hold, core) for core in cores]:
        future.result()


def measure(
    pools: dict[tuple[str, str], EncoderPool], seconds: float, passes: int, size: int = BATCH
) -> dict[tuple[str, str], float]:
    """Measure the tiles per second of each pool, the median over passes."""
    side = next(iter(pools.values())).first.metadata.tile_px
    batch = np.random.default_rng(0).integers(0, 256, (size, side, side, 3), np.uint8)
    for pool in pools.values():
        encode_rate(pool, batch, 0)  # warm-up
    rates: dict[tuple[str, str], list[float]] = {key: [] for key in pools}
    for _ in range(passes):
        for key, pool in pools.items():
            rates[key].append(encode_rate(pool, batch, seconds))
    return {key: statistics.median(each) for key, each in rates.items()}


if __name__ == "__main__":
    main()
