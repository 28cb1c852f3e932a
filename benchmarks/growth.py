r"""Benchmark of tiles/s and memory by size and number of slides, with a negligible encoder.

    PYTHONPATH=. python benchmarks/growth.py --folder build/bench --png build/bench/growth.png

Without the cost of a model, costs that grow with the slide or the job become visible. Slides are those of
`slides.py`; many slides are links to one slide of 10,000 pixels. Memory is the peak of the process minus its
memory after all imports and with the model loaded.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import matplotlib.figure

from benchmarks.end_to_end import embed_once
from benchmarks.measure import run
from benchmarks.slides import make_slide
from tests.made_models import tiny_onnx

SIDES = (5_000, 10_000, 20_000, 40_000, 80_000, 100_000)
COUNTS = (1, 2, 4, 8, 16, 32, 64)
ONE_OF_MANY = 10_000
IDLE = (
    "import sys, wsi_embed.cli.embed, wsi_embed.features.embed; "
    "wsi_embed.load_encoder(sys.argv[1], device='cpu')"
)
Points = dict[int, dict[str, float]]


def main() -> None:
    """Make the slides, measure, print, and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--regions", type=Path, help="as for slides.py")
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--png", type=Path, required=True)
    args = parser.parse_args()
    model = tiny_onnx(args.folder / "tiny.onnx", tile_px=224, dim=512, mpp=0.5)
    slides = {side: make_slide(args.folder, side, args.regions) for side in {*args.sides, ONE_OF_MANY}}
    with tempfile.TemporaryDirectory(dir=args.folder) as many:
        folders = {count: link(slides[ONE_OF_MANY], Path(many) / str(count), count) for count in args.counts}
        jobs = {("side", side): slides[side] for side in args.sides} | {
            ("slides", count): folder for count, folder in folders.items()
        }
        found = measure(jobs, model, args.passes)
    figures = {
        kind: {n: point for (k, n), point in found.items() if k == kind} for kind in ("side", "slides")
    }
    for kind, points in figures.items():
        print_table(kind, points)
    draw(figures, args.png)


def link(slide: Path, folder: Path, count: int) -> Path:
    """Create a folder with a slide under many names."""
    folder.mkdir()
    for number in range(count):
        os.link(slide, folder / f"slide{number:02}.tif")
    return folder


def measure(
    jobs: dict[tuple[str, int], Path], model: Path, passes: int
) -> dict[tuple[str, int], dict[str, float]]:
    """Run all jobs alternately; return medians of tiles/s, memory above the idle process, and seconds."""
    runs: dict[tuple[str, int], list[dict[str, float]]] = {job: [] for job in jobs}
    idle = []
    for _ in range(passes):
        idle.append(run([sys.executable, "-c", IDLE, model]).memory_mb)
        for job, slides in jobs.items():
            runs[job].append(embed_once(slides, model, "cpu"))
    print(f"The idle process has {statistics.median(idle):.0f} MB.")
    return {
        job: {
            "tiles": each[0]["tiles"],
            "rate": statistics.median(one["tiles"] / one["seconds_without_imports"] for one in each),
            "added_mb": max(one["memory_mb"] for one in each) - statistics.median(idle),
            "seconds": statistics.median(one["seconds"] for one in each),
        }
        for job, each in runs.items()
    }


def print_table(kind: str, points: Points) -> None:
    """Print one line per size or number."""
    head = {"side": "side, px", "slides": f"slides of {ONE_OF_MANY} px"}[kind]
    print(f"\n| {head} | tiles | tiles/s | memory above idle, MB | whole process, s |\n|---|---|---|---|---|")
    for number, point in points.items():
        print(
            f"| {number} | {point['tiles']:.0f} | {point['rate']:.0f} | {point['added_mb']:.0f} "
            f"| {point['seconds']:.2f} |"
        )


def draw(figures: dict[str, Points], png: Path) -> None:
    """Draw rates above and memory below, slide sizes on the left and numbers of slides on the right."""
    figure = matplotlib.figure.Figure(figsize=(8, 5), layout="constrained")
    axes: Any = figure.subplots(2, 2, sharex="col", sharey="row", squeeze=False)
    for column, (points, label) in enumerate(
        zip(figures.values(), ("side of the slide, pixels", f"slides of {ONE_OF_MANY:,} pixels"), strict=True)
    ):
        for row, key in enumerate(("rate", "added_mb")):
            axis = axes[row][column]
            axis.plot(points.keys(), [point[key] for point in points.values()], "o-", color="#1f5fa8")
            axis.set_xscale("log", base=2)
            axis.set_xticks(
                list(points), [f"{n // 1000}k" if n >= 1000 else str(n) for n in points], fontsize=8
            )
            axis.minorticks_off()
            axis.grid(alpha=0.3)
        axes[1][column].set_xlabel(label)
    axes[0][0].set_ylabel("tiles/s")
    axes[1][0].set_ylabel("MB above the idle process")
    most = max(point["added_mb"] for points in figures.values() for point in points.values())
    axes[1][0].set_ylim(0, 1.05 * max(300, most))
    axes[0][0].set_ylim(bottom=0)
    axes[1][0].axhline(300, color="#c0392b", linestyle="--")
    figure.savefig(png, dpi=100)


if __name__ == "__main__":
    main()
