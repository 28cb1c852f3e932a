"""Plot of the results of `collapse.py`: mean over seeds of each variant, in a band from minimum to maximum.

    PYTHONPATH=.:train python benchmarks/collapse_curves.py "lr 0.05=slow" "lr 0.5=fast" --png curves.png

Each argument is a heading and a folder written by `collapse.py --out`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np

from wsi_embed_train.metrics_file import read_metrics

FIGURES = ("largest_share", "noise_kept", "cluster_similarity", "effective_rank", "feature_std")
COLOURS = ("#c0392b", "#1f5fa8", "#7f8c8d", "#d68910", "#117a65", "#7d3c98", "#2c3e50")


def main() -> None:
    """Draw a row of panels per folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", help="HEADING=FOLDER")
    parser.add_argument("--variants", nargs="+", default=["paper", "ours"])
    parser.add_argument("--png", type=Path, required=True)
    args = parser.parse_args()
    figure = matplotlib.figure.Figure(
        figsize=(3.1 * len(FIGURES), 2.8 * len(args.folders)), layout="constrained"
    )
    axes = figure.subplots(len(args.folders), len(FIGURES), squeeze=False, sharey="col")
    for line, pair in zip(axes, args.folders, strict=True):
        heading, folder = pair.rsplit("=", 1)
        for axis, name in zip(line, FIGURES, strict=True):
            axis.set_title(f"{name.replace('_', ' ')}, {heading}", fontsize=9)
            draw(axis, Path(folder), args.variants, name)
    axes[0][0].legend(fontsize=8)
    figure.savefig(args.png, dpi=100)


def draw(axis: Any, folder: Path, variants: list[str], name: str) -> None:
    """Draw one figure of some variants over steps."""
    for variant, colour in zip(variants, COLOURS, strict=False):
        runs = [read_metrics(path) for path in sorted(folder.glob(f"{variant}-[0-9]*/health.csv"))]
        runs = [run for run in runs if name in run[0]]
        if not runs:
            continue
        steps = [row["step"] for row in runs[0]]
        values = np.array([[row[name] for row in run] for run in runs])
        axis.plot(steps, values.mean(0), color=colour, label=f"{variant} ({len(runs)} seeds)")
        axis.fill_between(steps, values.min(0), values.max(0), color=colour, alpha=0.18, linewidth=0)
    axis.set_xlabel("step", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.grid(alpha=0.3)


if __name__ == "__main__":
    main()
