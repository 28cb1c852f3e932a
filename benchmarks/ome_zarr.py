"""Benchmark of OME-Zarr in tiles/s, beside the same pixels as a TIFF with JPEG tiles.

    PYTHONPATH=. python benchmarks/ome_zarr.py build/bench/zarr --side 8192 --passes 5

Prints a Markdown table. All tiles of the slide are read row by row on one thread, as in a job, at the
resolution of the slide and at half of it (512 pixels reduced to 256). The layouts alternate in every pass;
results are medians of tiles per second of processor time, because other work may be on the machine.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numcodecs
import numpy as np

from tests.made_formats.ome_zarr import write_ome_zarr, zipped
from wsi_embed.grid import ReadPlan, make_grid
from wsi_embed.slide import UInt8Array, open_slide
from wsi_embed.slide.sample import write_sample_slide

TILE_PX = 256
FACTORS = (1, 2, 4, 8, 16)
Write = Callable[[Path, UInt8Array], Path]
LAYOUTS: dict[str, Write] = {
    "0.4, Blosc (LZ4), a chunk of 1024 for each colour": lambda path, pixels: write_ome_zarr(
        path, pixels, axes="tczyx", planar=True, chunk=1024, factors=FACTORS,
        compressors=numcodecs.Blosc("lz4", 5),
    ),
    "0.5, Zstandard, chunks of 512": lambda path, pixels: write_ome_zarr(
        path, pixels, "0.5", chunk=512, factors=FACTORS
    ),
    "the same, colours last": lambda path, pixels: write_ome_zarr(
        path, pixels, "0.5", axes="yxc", chunk=512, factors=FACTORS
    ),
    "the same, in shards of 2048": lambda path, pixels: write_ome_zarr(
        path, pixels, "0.5", chunk=512, factors=FACTORS, shards=(3, 2048, 2048)
    ),
}  # fmt: skip


def speed(path: Path, read_px: int) -> float:
    """Read all tiles of a slide; return tiles per second of processor time."""
    with open_slide(path) as slide:
        size = slide.level_sizes[0]
        grid = make_grid(ReadPlan(0, read_px, TILE_PX, 1.0), (1.0, 1.0), size, (0, 0, *size))
        tile = np.empty((TILE_PX, TILE_PX, 3), np.uint8)
        began = time.process_time()
        with slide.stream(grid) as tiles:
            for row in range(len(grid)):
                tiles.read(row, tile)
        return len(grid) / (time.process_time() - began)


def make(folder: Path, side: int) -> dict[str, Path]:
    """Write the slides that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    tiff = folder / f"{side}.tif"
    if not tiff.exists():
        write_sample_slide(tiff, side)
    with open_slide(tiff) as slide:
        pixels = slide.read(0, 0, 0, side, side)
    found = {"TIFF, JPEG tiles of 256": tiff}
    for number, (name, write) in enumerate(LAYOUTS.items()):
        path = folder / f"{side}-{number}.ome.zarr"
        found[name] = path if path.exists() else write(path, pixels)
    chunks = found["0.5, Zstandard, chunks of 512"]
    archive = chunks.with_suffix(".ozx")
    found["0.5, zipped"] = archive if archive.exists() else zipped(chunks, archive)
    return found


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder for the slides")
    parser.add_argument("--side", type=int, default=8192, help="side of the slides, pixels")
    parser.add_argument("--passes", type=int, default=5, help="number of passes")
    options = parser.parse_args()
    slides = make(options.folder, options.side)
    found: dict[tuple[str, int], list[float]] = {}
    for _ in range(options.passes):
        for name, path in slides.items():
            for read_px in (TILE_PX, 2 * TILE_PX):
                found.setdefault((name, read_px), []).append(speed(path, read_px))
    print("| slide | native, tiles/s | half, tiles/s |")
    print("|---|---|---|")
    for name in slides:
        native, half = (statistics.median(found[name, px]) for px in (TILE_PX, 2 * TILE_PX))
        print(f"| {name} | {native:.0f} | {half:.0f} |")


if __name__ == "__main__":
    main()
