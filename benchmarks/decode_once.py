"""Benchmark of formats besides TIFF in tiles/s: by regions of OpenSlide, and as a job reads them.

    PYTHONPATH=. python benchmarks/decode_once.py build/bench/wide --picture PICTURE

Slides of 40,960 x 1,536 pixels, as wide as tissue often is, are made of a picture: DICOM with JPEG frames,
Aperio with lossy JPEG 2000 (one to fifteen), MIRAX and NDPI. Existing ones are kept. Tiles of 224 pixels are
read row by row on one thread, at the resolution of the slide and at half of it. `cached` are regions with a
cache of 256 MB, in which every tile is decoded once. Medians of processor time, all in turn in each pass.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import openslide
from PIL import Image

from tests.made_formats.dicom import write_dicom
from tests.made_formats.hamamatsu import write_ndpi
from tests.made_formats.mirax import write_mirax
from tests.made_formats.tiffs import ENCODINGS, Encoding, Page, write_pages
from wsi_embed.grid import ReadPlan, TileGrid, make_grid
from wsi_embed.slide import Slide, UInt8Array, open_slide
from wsi_embed.slide.openslide.slide import OpenSlideSlide
from wsi_embed.slide.stream import TileStream

TILE_PX = 224
WIDTH, HEIGHT = 40_960, 1_536
CACHE = 256 << 20


def main() -> None:
    """Make the slides, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where the slides are made")
    parser.add_argument("--picture", type=Path, required=True, help="of tissue, at least 1,024 pixels")
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=list(FORMATS))
    parser.add_argument("--passes", type=int, default=3)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    print("| format | tile read | regions | as a job | cached | same pixels |\n|---|---|---|---|---|---|")
    for name in args.formats:
        path = make_slide(args.folder / name.replace(" ", "_"), name, args.picture)
        for read_px in (TILE_PX, 2 * TILE_PX):
            print_line(name, path, read_px, args.passes)


def make_slide(folder: Path, name: str, picture: Path) -> Path:
    """Make a slide unless it exists."""
    made = folder / "made.txt"
    if not made.exists():
        folder.mkdir(parents=True, exist_ok=True)
        square = np.asarray(cv2.imread(str(picture), cv2.IMREAD_COLOR_RGB), np.uint8)[:1024, :1024]
        pixels = np.tile(square, (-(-HEIGHT // 1024), WIDTH // 1024, 1))[:HEIGHT]
        made.write_text(str(FORMATS[name](folder, pixels)), "utf-8")
    return Path(made.read_text("utf-8"))


def write_jpeg2000(folder: Path, pixels: UInt8Array) -> Path:
    """Write an Aperio slide with the settings of its scanners: lossy, five levels of wavelets."""
    known = dict[bytes, bytes]()

    def encode(tile: UInt8Array) -> bytes:
        key = tile.tobytes()
        if key not in known:
            out = io.BytesIO()
            Image.fromarray(tile).save(
                out, "JPEG2000", no_jp2=True, irreversible=True, mct=1, num_resolutions=6,
                quality_mode="rates", quality_layers=[15],
            )  # fmt: skip
            known[key] = out.getvalue()
        return known[key]

    ENCODINGS["lossy"] = Encoding(encode, 33005)
    size = f"{WIDTH}x{HEIGHT}"
    head = f"Aperio Image Library v12.0.15 \r\n{size} [0,0 {size}] (256x256) J2K/KDU Q=30|MPP = 0.5"
    return write_pages(folder / "a.svs", [Page(pixels, "lossy", description=head)])


FORMATS: dict[str, Callable[[Path, UInt8Array], Path]] = {
    "DICOM JPEG": lambda folder, pixels: write_dicom(folder, pixels, "jpeg 4:2:0", factors=(1,))[0],
    "JPEG 2000": write_jpeg2000,
    "MIRAX": lambda folder, pixels: write_mirax(folder / "a.mrxs", pixels, side=256, lossless=False),
    "NDPI": lambda folder, pixels: write_ndpi(folder / "a.ndpi", pixels),
}


def print_line(name: str, path: Path, read_px: int, passes: int) -> None:
    """Measure one format at one resolution."""
    rates: dict[str, list[float]] = {}
    digests = set()
    for _ in range(passes):
        for way in ("regions", "as a job", "cached"):
            rate, digest = read_all(path, read_px, way)
            rates.setdefault(way, []).append(rate)
            digests.add(digest)
    regions, job, cached = (statistics.median(found) for found in rates.values())
    cells = f"{regions:.0f} | {job:.0f} ({job / regions:.2f}) | {cached:.0f} ({cached / regions:.2f})"
    print(f"| {name} | {read_px} px | {cells} | {'yes' if len(digests) == 1 else 'NO'} |", flush=True)


def read_all(path: Path, read_px: int, way: str) -> tuple[float, int]:
    """Read all tiles of a slide; return tiles per second of processor time, and a digest of the pixels."""
    with open_slide(path, "auto" if way == "as a job" else "openslide") as slide:
        grid = grid_of(slide, read_px)
        if way == "cached" and isinstance(slide, OpenSlideSlide):
            slide.share_cache(openslide.OpenSlideCache(CACHE))
        stream = slide.stream(grid) if way == "as a job" else TileStream(slide, grid)
        out, digest, seconds = np.empty((TILE_PX, TILE_PX, 3), np.uint8), 0, 0.0
        with stream as tiles:
            for row in range(len(grid)):
                began = time.process_time()
                tiles.read(row, out)
                seconds += time.process_time() - began
                digest = hash((digest, out.tobytes()))
    return len(grid) / seconds, digest


def grid_of(slide: Slide, read_px: int) -> TileGrid:
    """Return the tiles of level 0."""
    plan = ReadPlan(0, read_px, TILE_PX, 1.0)
    return make_grid(plan, (1.0, 1.0), slide.level_sizes[0], slide.bounds, 0, "drop")


if __name__ == "__main__":
    main()
