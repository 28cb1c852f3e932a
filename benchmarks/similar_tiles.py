"""Time to find the tiles most similar to one, exactly and with an index.

    python benchmarks/similar_tiles.py [TILES] [FEATURES] [--index] [--folder FOLDER]

The features are a mixture of a few hundred directions with noise, after a ReLU as those of a network, because
graphs search plain noise badly.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.store.made_stores import make_settings, open_writer, write_slide
from wsi_embed.encoder.base import Encoded
from wsi_embed.explore.similar import SimilarTile, TileSearch
from wsi_embed.explore.tile_index import FILE
from wsi_embed.store import open_store

TILES_A_SLIDE = 10_000
KINDS = 300
QUERIES = 20
K = 50
Rows = list[tuple[str, str]]


def make_store(path: Path, tiles: int, dim: int) -> None:
    settings = make_settings(dim=dim, clusters=None)
    writer, rng = open_writer(path, settings), np.random.default_rng(0)
    kinds = rng.standard_normal((KINDS, dim), np.float32)
    for number in range(-(-tiles // TILES_A_SLIDE)):
        features = kinds[rng.integers(KINDS, size=TILES_A_SLIDE)]
        features = features + 0.5 * rng.standard_normal((TILES_A_SLIDE, dim), np.float32)
        write_slide(writer, f"s{number:04}", Encoded(np.maximum(features, 0)), batch=TILES_A_SLIDE)


def timed(name: str, rows: Rows, call: Callable[[int], list[SimilarTile]]) -> list[list[SimilarTile]]:
    """Search for several tiles, add the seconds to the rows, and return what was found."""
    seconds, of_cpu, found = [], [], []
    for query in range(QUERIES):
        start, cpu = time.perf_counter(), time.process_time()
        found.append(call(query))
        seconds.append(time.perf_counter() - start)
        of_cpu.append(time.process_time() - cpu)
    rows.append((f"{name}, median; slowest", f"{statistics.median(seconds):.3f}; {max(seconds):.3f}"))
    rows.append((f"{name}, processor time, median", f"{statistics.median(of_cpu):.3f}"))
    return found


def with_index(search: TileSearch, exact: list[list[SimilarTile]], example: Callable[[int], str]) -> Rows:
    """Build and open the index, and compare what it finds with the exact search."""
    rows: Rows = []
    for name in ("index built", "index opened later"):
        start, cpu = time.perf_counter(), time.process_time()
        indexed = TileSearch(search.store, index=True, in_memory=0)
        took, of_cpu = time.perf_counter() - start, time.process_time() - cpu
        rows.append((f"{name}; processor time", f"{took:.1f}; {of_cpu:.1f}"))
    assert indexed.table.folder is not None
    size = (indexed.table.folder / FILE).stat().st_size
    rows.append(("its file, GB", f"{size / 1e9:.2f}"))
    found = timed(
        "search with the index", rows, lambda query: indexed.similar([(example(query), query)], k=K)
    )
    shares = [
        len({(t.slide_id, t.tile) for t in a} & {(t.slide_id, t.tile) for t in b}) / K
        for a, b in zip(exact, found, strict=True)
    ]
    rows.append((f"share of the {K} most similar tiles that it finds", f"{statistics.mean(shares):.3f}"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tiles", type=int, nargs="?", default=1_000_000)
    parser.add_argument("features", type=int, nargs="?", default=512)
    parser.add_argument("--index", action="store_true", help="measure the index, too")
    parser.add_argument("--folder", help="folder for temporary files")
    given = parser.parse_args()
    rows: Rows = []
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        make_store(Path(folder) / "feats.zarr", given.tiles, given.features)
        store = open_store(Path(folder) / "feats.zarr")
        for name in ("first", "later"):
            start = time.perf_counter()
            search = TileSearch(store, index=False)
            rows.append((f"{name} opening", f"{time.perf_counter() - start:.2f}"))

        def example(query: int) -> str:
            return f"s{query:04}" if given.tiles > QUERIES * TILES_A_SLIDE else "s0000"

        exact = timed("search", rows, lambda query: search.similar([(example(query), query)], k=K))
        timed(
            "search, 1 tile a slide",
            rows,
            lambda query: search.similar([(example(query), query)], k=K, per_slide=1),
        )
        if given.index:
            rows += with_index(search, exact, example)
    print(f"| {given.tiles:,} tiles, {given.features} features | seconds |\n|---|---|")
    for name, value in rows:
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    main()
