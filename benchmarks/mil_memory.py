"""Benchmark of memory and time of `wsi-embed eval mil` on many large bags, in memory or read at every step.

Makes a store of some distinct bags under many ids (links to the same files, each read like any other), trains
one epoch on two thirds of the bags, tests the others, and prints the peak resident memory. Each memory limit
has its own process, because the peak is per process.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from wsi_embed.bags.labels import join_labels
from wsi_embed.encoder.base import Encoded
from wsi_embed.encoder.metadata import ModelMetadata
from wsi_embed.grid import ReadPlan, TileGrid
from wsi_embed.store import StoreSettings, StoreWriter, open_store

DISTINCT = 10


def make_store(path: Path, bags: int, tiles: int, dim: int) -> Path:
    """Write the store, and its labels beside it."""
    settings = StoreSettings("sha256:made", 224, 0.5, "float16", dim, None)
    about = ModelMetadata(
        "made", "made", "made", 224, 0.5, (0.5,) * 3, (0.2,) * 3, dim, None, "fp32", settings.model_id
    )
    columns = int(np.ceil(np.sqrt(tiles)))
    row_col = np.stack(np.divmod(np.arange(tiles), columns), axis=1).astype(np.int32)
    grid = TileGrid(
        ReadPlan(0, 224, 224, 0.5),
        224,
        (1.0, 1.0),
        row_col,
        row_col[:, ::-1] * np.int32(224),
        np.ones(tiles, np.float32),
    )
    writer, rng, lines = (
        StoreWriter(path, settings, about),
        np.random.default_rng(0),
        ["slide_id,label,split"],
    )
    for number in range(bags):
        slide_id = f"s{number:04}"
        if number < DISTINCT:
            with writer.slide(slide_id, grid) as slide:
                slide.append(Encoded(rng.standard_normal((tiles, dim), np.float32)))
                slide.commit({"mpp": 0.5, "slide": f"{slide_id}.svs", "patient": None})
        else:
            shutil.copytree(path / f"s{number % DISTINCT:04}", path / slide_id, copy_function=os.link)
        lines.append(f"{slide_id},{'ab'[number % 2]},{'test' if number % 3 == 0 else 'train'}")
    path.with_suffix(".csv").write_text("\n".join(lines) + "\n")
    return path


def measure(path: Path, method: str, gib: float, threads: int) -> None:
    """Train and test, and print a row of the table."""
    from wsi_embed.evaluate.mil.run import evaluate_mil
    from wsi_embed.evaluate.mil.settings import MilSettings

    store = open_store(path)
    bags = join_labels(store, path.with_suffix(".csv"))
    began = time.perf_counter()
    settings = MilSettings(method, epochs=1, device="cpu", threads=threads)
    evaluate_mil(store, bags, settings, memory=round(gib * 2**30))
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"| {method} | {gib:g} | {peak:.1f} | {seconds:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bags", type=int, default=400)
    parser.add_argument("--tiles", type=int, default=10_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--methods", nargs="+", default=["dsmil"])
    parser.add_argument("--memory", type=float, nargs="+", default=[8.0, 0.0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        measure(args.one, args.methods[0], args.memory[0], args.threads)
        return
    print(f"{args.bags} bags of {args.tiles} x {args.dim}, float16; {platform.machine()}")
    print("| method | GiB kept at most | peak, GiB | seconds |\n|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder) / "f.zarr", args.bags, args.tiles, args.dim)
        for method in args.methods:
            for gib in args.memory:
                command = [sys.executable, __file__, "--one", str(store), "--methods", method]
                subprocess.run([*command, "--memory", str(gib), "--threads", str(args.threads)], check=True)


if __name__ == "__main__":
    main()
