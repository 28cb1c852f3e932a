"""Time to find the tiles most similar to one: `python benchmarks/similar_tiles.py [TILES] [FEATURES]`."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.store.made_stores import make_settings, open_writer, write_slide
from wsi_embed.encoder.base import Encoded
from wsi_embed.explore.similar import TileSearch
from wsi_embed.store import open_store

TILES_A_SLIDE = 10_000
QUERIES = 20


def make_store(path: Path, tiles: int, dim: int) -> None:
    settings = make_settings(dim=dim, clusters=None)
    writer, rng = open_writer(path, settings), np.random.default_rng(0)
    for number in range(-(-tiles // TILES_A_SLIDE)):
        features = rng.standard_normal((TILES_A_SLIDE, dim), np.float32)
        write_slide(writer, f"s{number:04}", Encoded(np.maximum(features, 0)), batch=TILES_A_SLIDE)


def main() -> None:
    tiles, dim = (int(text) for text in (*sys.argv[1:], *("1000000", "512")[len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory() as folder:
        make_store(Path(folder) / "feats.zarr", tiles, dim)
        store = open_store(Path(folder) / "feats.zarr")
        rows = []
        for name in ("first", "later"):
            start = time.perf_counter()
            search = TileSearch(store)
            rows.append((f"{name} opening", time.perf_counter() - start))
        for name, per_slide in (("search", None), ("search, 1 tile a slide", 1)):
            seconds, of_cpu = [], []
            for query in range(QUERIES):
                start, cpu = time.perf_counter(), time.process_time()
                search.similar([(f"s{query:04}" if tiles > QUERIES * TILES_A_SLIDE else "s0000", query)],
                               k=50, per_slide=per_slide)  # fmt: skip
                seconds.append(time.perf_counter() - start)
                of_cpu.append(time.process_time() - cpu)
            rows += [(f"{name}, median", statistics.median(seconds)), (f"{name}, slowest", max(seconds))]
            rows.append((f"{name}, processor time, median", statistics.median(of_cpu)))
    print(f"| {tiles:,} tiles, {dim} features | seconds |\n|---|---|")
    for name, value in rows:
        print(f"| {name} | {value:.2f} |")


if __name__ == "__main__":
    main()
