"""Benchmark of --fast-downsample: speed, and difference of pixels and features of real tissue tiles.

    python benchmarks/fast_downsample.py SLIDES... --mpp 1 2 4

Prints a Markdown table. Tiles are read with and without the option and encoded at each resolution, by default
with the demonstration model. The cosine is centred: the mean feature is subtracted first.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from wsi_embed.encoder import Encoded, Encoder, load_encoder
from wsi_embed.encoder.difference import difference
from wsi_embed.grid import TileGrid
from wsi_embed.inputs.slides import find_slides
from wsi_embed.slide import Slide, UInt8Array
from wsi_embed.store.layout import StoreSettings
from wsi_embed.tiling.plan import plan_slide
from wsi_embed.tiling.settings import Tiling

BATCH = 32


def read(slide: Slide, grid: TileGrid) -> tuple[UInt8Array, float]:
    """Read all tiles of a grid on one thread; return uint8 [N, S, S, 3] and the processor time in seconds."""
    tiles = np.zeros((len(grid), grid.tile_px, grid.tile_px, 3), np.uint8)
    began = time.process_time()
    with slide.stream(grid) as stream:
        for row, tile in enumerate(tiles):
            stream.read(row, tile)
    return tiles, time.process_time() - began


def encode(encoder: Encoder, tiles: UInt8Array) -> Encoded:
    """Encode tiles in batches."""
    parts = [encoder.encode(tiles[i : i + BATCH]) for i in range(0, len(tiles), BATCH)]
    clusters = [p.cluster for p in parts if p.cluster is not None]
    features = np.concatenate([p.features for p in parts])
    return Encoded(features, np.concatenate(clusters) if clusters else None)


def compare(item: Any, encoder: Encoder, rounds: int) -> str | None:
    """Return a row of the table, or None if the grid does not allow the option."""
    m, mpp = encoder.metadata, encoder.mpp
    assert mpp is not None
    settings = StoreSettings(m.model_id, m.tile_px, mpp, "float32", m.feature_dim, m.clusters)
    tiles, seconds = {}, {}
    scale = 1
    for fast in (False, True):
        tiling = Tiling(fast_downsample=fast)
        plan = plan_slide(item, tiling, settings)
        with plan.slide as slide:
            grid, _ = plan.make_grid(tiling)
            runs = [read(slide, grid) for _ in range(rounds)]
            tiles[fast], seconds[fast] = runs[0][0], median(spent for _, spent in runs)
            scale = plan.read.dct_scale
    if scale == 1:
        return None
    apart = np.abs(tiles[True].astype(np.int16) - tiles[False])
    found = difference(encode(encoder, tiles[False]), encode(encoder, tiles[True]))
    same = "" if found.cluster_agreement is None else f"{found.cluster_agreement:.3f}"
    return (
        f"| {item.name} | {mpp:g} | 1/{scale} | {len(apart)} | {seconds[False] / seconds[True]:.2f} | "
        f"{apart.mean():.2f} | {apart.max()} | {found.centred_cosine:.4f} | {found.min_centred_cosine:.4f} | "
        f"{same} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slides", type=Path, nargs="+")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--mpp", type=float, nargs="+", default=[1.0, 2.0])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print("| slide | mpp | decoded at | tiles | faster | mean error | max | cosine | worst | same cluster |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for mpp in options.mpp:
        encoder = load_encoder(options.model, device="cpu", mpp=mpp)
        for item in find_slides(options.slides):
            row = compare(item, encoder, options.rounds)
            print(row or f"| {item.name} | {mpp:g} | whole: its lattice does not allow it | | | | | | | |")


if __name__ == "__main__":
    main()
