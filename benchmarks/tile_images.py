"""Benchmark of tiles as PNG and JPEG: speed, size, and the whole command.

    python benchmarks/tile_images.py SLIDE --tile-px 224 512

Prints two Markdown tables: encoders (tiles per second of processor time on one thread, medians of interleaved
rounds), and `wsi_embed.tile` by format and number of threads (tiles per second of wall-clock time).
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import cv2
import numpy as np
from PIL import Image

import wsi_embed
from wsi_embed.slide import UInt8Array
from wsi_embed.tiles import ImageFormat, TileSettings

Encode = Callable[[UInt8Array], int]
STRATEGIES = {"default": cv2.IMWRITE_PNG_STRATEGY_DEFAULT, "RLE": cv2.IMWRITE_PNG_STRATEGY_RLE}


def encoders() -> dict[str, Encode]:
    """Return functions from a tile to the bytes of its file, by encoder."""
    found: dict[str, Encode] = {"PNG, OpenCV, as it comes": lambda tile: len(_cv2(tile, ()))}
    for level in (0, 1, 3, 6):
        for name, strategy in STRATEGIES.items():
            options = (cv2.IMWRITE_PNG_COMPRESSION, level, cv2.IMWRITE_PNG_STRATEGY, strategy)
            found[f"PNG, OpenCV, level {level}, {name}"] = lambda tile, o=options: len(_cv2(tile, o))  # type: ignore[misc]
    for level in (1, 6):
        found[f"PNG, Pillow, level {level}"] = lambda tile, n=level: _pillow(tile, n)  # type: ignore[misc]
    png, jpeg = TileSettings(), TileSettings(format="jpeg", quality=90)
    found["**PNG as here**"] = lambda tile: len(png.encode(tile))
    found["**JPEG 90 as here**"] = lambda tile: len(jpeg.encode(tile))
    return found


def _cv2(tile: UInt8Array, options: tuple[int, ...]) -> UInt8Array:
    return cv2.imencode(".png", cv2.cvtColor(tile, cv2.COLOR_RGB2BGR), options)[1]


def _pillow(tile: UInt8Array, level: int) -> int:
    buffer = io.BytesIO()
    Image.fromarray(tile).save(buffer, "PNG", compress_level=level)
    return buffer.tell()


def tissue_tiles(slide: Path, px: int) -> list[UInt8Array]:
    """Return at most 64 tissue tiles of a slide."""
    with tempfile.TemporaryDirectory() as out:
        wsi_embed.tile(slide, out, tile_px=px, max_tiles=64)
        return [np.asarray(Image.open(path)) for path in sorted(Path(out).rglob("*.png"))]


def print_encoders(slide: Path, px: int, rounds: int) -> None:
    """Print the speed and size of each encoder."""
    tiles, every = tissue_tiles(slide, px), encoders()
    seconds: dict[str, list[float]] = {name: [] for name in every}
    size = {name: sum(encode(tile) for tile in tiles) for name, encode in every.items()}
    for _ in range(rounds):
        for name, encode in every.items():
            began = time.process_time()
            for tile in tiles:
                encode(tile)
            seconds[name].append(time.process_time() - began)
    print(
        f"\n| {len(tiles)} tiles of {px} px | tiles/s | KiB a tile | of the raw pixels |\n|---|---|---|---|"
    )
    for name in every:
        each = size[name] / len(tiles)
        rate = len(tiles) / median(seconds[name])
        print(f"| {name} | {rate:.0f} | {each / 1024:.1f} | {each / (3 * px * px):.2f} |")


def print_jobs(slide: Path, px: int, rounds: int) -> None:
    """Time the whole command on one slide, with overlapping tiles for a longer run."""
    print(f"\n| {px} px, half overlapping | threads | tiles | tiles/s | read s | encode s | write s |")
    print("|---" * 7 + "|")
    formats: tuple[ImageFormat, ...] = ("png", "jpeg")
    for kind in formats:
        for workers in (1, 2):
            results = []
            for _ in range(rounds):
                with tempfile.TemporaryDirectory() as out:
                    report = wsi_embed.tile(
                        slide, out, tile_px=px, overlap=px // 2, format=kind, workers=workers
                    )
                results.append(report.slides[0])
            result = sorted(results, key=lambda r: r.seconds["total"])[len(results) // 2]
            s = result.seconds
            stages = " | ".join(f"{s[name]:.2f}" for name in ("read", "encode", "write"))
            print(f"| {kind} | {workers} | {result.tiles} | {result.tiles / s['total']:.0f} | {stages} |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("slide", type=Path)
    parser.add_argument("--tile-px", type=int, nargs="+", default=[224, 512])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    for px in args.tile_px:
        print_encoders(args.slide, px, args.rounds)
    print_jobs(args.slide, args.tile_px[0], args.rounds)


if __name__ == "__main__":
    main()
