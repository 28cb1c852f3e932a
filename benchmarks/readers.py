"""Benchmark of reading in tiles/s: readers of other tools and of this package, on one and two threads.

    PYTHONPATH=. python benchmarks/readers.py build/bench/slide20000.tif

Tiles of 224 pixels of tissue are read row by row, as in a job, at the resolution of the slide and at half of
it (448 pixels reduced to 224). All readers alternate in every pass; results are medians, with the speed
relative to OpenSlide with Pillow in parentheses. `off` is the mean difference in grey levels from the pixels
of OpenSlide, at half resolution from their exact means. tiffslide, fastslide, cuCIM and pyvips are included
if installed.
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openslide

from wsi_embed.grid import TileGrid
from wsi_embed.inputs.slides import find_slides
from wsi_embed.slide import Reader, UInt8Array, open_slide
from wsi_embed.slide.stream import resample
from wsi_embed.tiles import TileSettings
from wsi_embed.tiling.plan import plan_slide
from wsi_embed.tiling.settings import Tiling

TILE_PX = 224
SHARE = 16
COMPARED = 32
Read = Callable[[int, UInt8Array], None]
Region = Callable[[int, int, int], UInt8Array]


@contextmanager
def with_pillow(path: Path, grid: TileGrid) -> Iterator[Read]:
    """Read with the Python package of OpenSlide and resize by Pillow, as most tools do."""
    corners, n = grid.level_xy.tolist(), grid.read_px
    with openslide.OpenSlide(path) as slide:

        def read(row: int, out: UInt8Array) -> None:
            image = slide.read_region(corners[row], 0, (n, n)).convert("RGB")
            out[:] = np.asarray(image if n == TILE_PX else image.resize((TILE_PX, TILE_PX)))

        yield read


@contextmanager
def ours(path: Path, grid: TileGrid, *, reader: Reader, fast: bool = False) -> Iterator[Read]:
    """Read with a reader of this package, streaming as in a job."""
    if fast and grid.read_px != TILE_PX:
        grid = replace(grid, plan=replace(grid.plan, dct_scale=grid.read_px // TILE_PX))
    with open_slide(path, reader) as slide, slide.stream(grid) as tiles:
        yield tiles.read


@contextmanager
def by_region(path: Path, grid: TileGrid, *, opener: Callable[[Path], Region]) -> Iterator[Read]:
    """Read one region after the other into arrays, and reduce them by area averages."""
    region, corners, n = opener(path), grid.level_xy.tolist(), grid.read_px

    def read(row: int, out: UInt8Array) -> None:
        x, y = corners[row]
        resample(region(x, y, n), out)

    yield read


def open_arrays(path: Path) -> Region:
    """Open with the C function of OpenSlide, which reads into an array."""
    slide = openslide.OpenSlide(path)

    def region(x: int, y: int, n: int) -> UInt8Array:
        bgra = np.empty((n, n, 4), np.uint8)
        pointer = bgra.ctypes.data_as(ctypes.POINTER(ctypes.c_uint32))
        openslide.lowlevel._read_region(slide._osr, pointer, x, y, 0, n, n)
        return np.asarray(cv2.cvtColor(bgra, cv2.COLOR_BGRA2RGB), np.uint8)

    return region


def open_tiffslide(path: Path) -> Region:
    """Open with tiffslide, which reads into arrays."""
    slide = import_module("tiffslide").TiffSlide(path)
    return lambda x, y, n: slide.read_region((x, y), 0, (n, n), as_array=True)


def open_fastslide(path: Path) -> Region:
    """Open with fastslide."""
    slide = import_module("fastslide").FastSlide.from_file_path(str(path))
    return lambda x, y, n: slide.read_region(location=(x, y), level=0, size=(n, n)).numpy()[..., :3]


def open_cucim(path: Path) -> Region:
    """Open with cuCIM on the CPU."""
    slide = import_module("cucim").CuImage(str(path))
    return lambda x, y, n: np.asarray(slide.read_region((x, y), (n, n), 0))[..., :3]


def open_pyvips(path: Path) -> Region:
    """Open with pyvips. Regions cannot be shared, so each thread has its own."""
    pyvips, own = import_module("pyvips"), threading.local()

    def region(x: int, y: int, n: int) -> UInt8Array:
        if not hasattr(own, "region"):
            own.region = pyvips.Region.new(pyvips.Image.new_from_file(str(path), access="random"))
        return np.frombuffer(own.region.fetch(x, y, n, n), np.uint8).reshape(n, n, -1)[..., :3]

    return region


BASELINE, EXACT = "OpenSlide + Pillow", "wsi-embed, openslide"
READERS: dict[str, Callable[[Path, TileGrid], Any]] = {
    BASELINE: with_pillow,
    "OpenSlide into NumPy, cv2": partial(by_region, opener=open_arrays),
    "tiffslide": partial(by_region, opener=open_tiffslide),
    "fastslide": partial(by_region, opener=open_fastslide),
    "cuCIM": partial(by_region, opener=open_cucim),
    "pyvips": partial(by_region, opener=open_pyvips),
    EXACT: partial(ours, reader="openslide"),
    "wsi-embed, tiff": partial(ours, reader="tiff"),
    "wsi-embed, tiff, --fast-downsample": partial(ours, reader="tiff", fast=True),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("slide", type=Path)
    parser.add_argument("--tiles", type=int, default=1024, help="a pass")
    parser.add_argument("--passes", type=int, default=5)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    grids = {
        name: tissue_grid(args.slide, factor, args.tiles) for name, factor in (("native", 1), ("half", 2))
    }
    off, missing = try_out(args.slide, grids)
    seconds: dict[tuple[str, str, int], list[float]] = {}
    for _ in range(args.passes):
        for view, grid in grids.items():
            for threads in (1, 2):
                for name in off:
                    took = read_all(name, args.slide, grid, threads)
                    seconds.setdefault((name, view, threads), []).append(took)
    rates = {key: args.tiles / statistics.median(times) for key, times in seconds.items()}
    print_table(rates, off, missing)


def tissue_grid(path: Path, factor: int, tiles: int) -> TileGrid:
    """Return tiles of tissue from the middle of the slide, at its resolution divided by `factor`."""
    item = find_slides([path])[0]
    with open_slide(path) as slide:
        assert slide.mpp is not None
        mpp = slide.mpp[0] * factor
    plan = plan_slide(item, Tiling(), TileSettings(TILE_PX, mpp, "png", None, None, None))
    with plan.slide:
        grid, _ = plan.make_grid(Tiling())
    if grid.level != 0 or len(grid) < tiles:
        raise SystemExit(f"{path}: {len(grid)} tiles of tissue on level {grid.level}: too few, or too coarse")
    first = (len(grid) - tiles) // 2
    return grid.rows(first, first + tiles)


def try_out(path: Path, grids: dict[str, TileGrid]) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """Return the pixel differences of each reader in each view, and reasons why others are unavailable."""
    exact = {view: first_tiles(EXACT, path, grid) for view, grid in grids.items()}
    off: dict[str, dict[str, float]] = {}
    missing: dict[str, str] = {}
    for name in READERS:
        try:
            found = {view: first_tiles(name, path, grid) for view, grid in grids.items()}
        except ImportError as error:
            missing[name] = f"{error}".split(";")[0]
            continue
        off[name] = {view: float(np.abs(found[view] - exact[view]).mean()) for view in grids}
    return off, missing


def first_tiles(name: str, path: Path, grid: TileGrid) -> Any:
    """Return the first tiles of a grid as signed integers."""
    out = np.empty((COMPARED, TILE_PX, TILE_PX, 3), np.uint8)
    with READERS[name](path, grid) as read:
        for row in range(COMPARED):
            read(row, out[row])
    return out.astype(np.int16)


def read_all(name: str, path: Path, grid: TileGrid, threads: int) -> float:
    """Return the seconds to read a grid; threads take shares of neighbouring tiles in turn."""
    began = time.perf_counter()
    with ExitStack() as stack:
        read = stack.enter_context(READERS[name](path, grid))
        pool = stack.enter_context(ThreadPoolExecutor(threads))

        def share(start: int) -> None:
            out = np.empty((TILE_PX, TILE_PX, 3), np.uint8)
            for row in range(start, min(start + SHARE, len(grid))):
                read(row, out)

        for _ in pool.map(share, range(0, len(grid), SHARE)):
            pass
    return time.perf_counter() - began


def print_table(
    rates: dict[tuple[str, str, int], float], off: dict[str, dict[str, float]], missing: dict[str, str]
) -> None:
    """Print one line per reader."""
    columns = [(view, threads) for view in ("native", "half") for threads in (1, 2)]
    heads = [f"{view}, {threads} thread{'s' * (threads > 1)}" for view, threads in columns]
    print(f"| reader | {' | '.join(heads)} | off, native | off, half |\n|{'---|' * 7}")
    for name in READERS:
        if name in missing:
            print(f"| {name} | not measured ({missing[name]}) | | | | | |")
            continue
        cells = [
            f"{rates[name, *column]:.0f} ({rates[name, *column] / rates[BASELINE, *column]:.1f})"
            for column in columns
        ]
        print(f"| {name} | {' | '.join(cells)} | {off[name]['native']:.2f} | {off[name]['half']:.2f} |")


if __name__ == "__main__":
    main()
