"""Draw what `collapse.py` measured: a line per variant, the mean of its seeds, in a band from least to most.

    python benchmarks/collapse_curves.py "lr 0.05=slow" "lr 0.5=fast" --variants paper ours --png curves.png

Every argument is a heading and a folder that `collapse.py --out` filled.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import matplotlib.figure
import numpy as np

FIGURES = ("largest_share", "noise_kept", "cluster_similarity", "effective_rank", "feature_std")
COLOURS = ("#c0392b", "#1f5fa8", "#7f8c8d", "#d68910", "#117a65", "#7d3c98", "#2c3e50")


def main() -> None:
    """A row of panels per folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", help="HEADING=FOLDER")
    parser.add_argument("--variants", nargs="+", default=["paper", "ours"])
    parser.add_argument("--png", type=Path, required=True)
    args = parser.parse_args()
    rows = [pair.rsplit("=", 1) for pair in args.folders]
    figure = matplotlib.figure.Figure(figsize=(3.1 * len(FIGURES), 2.8 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), len(FIGURES), squeeze=False, sharey="col")
    for line, (heading, folder) in zip(axes, rows, strict=True):
        for axis, name in zip(line, FIGURES, strict=True):
            for variant, colour in zip(args.variants, COLOURS, strict=False):
                steps, values = read(Path(folder), variant, name)
                if not len(steps):
                    continue
                axis.plot(steps, values.mean(0), color=colour, label=f"{variant} ({len(values)} seeds)")
                axis.fill_between(steps, values.min(0), values.max(0), color=colour, alpha=0.18, linewidth=0)
            axis.set_title(f"{name.replace('_', ' ')}, {heading}", fontsize=9)
            axis.set_xlabel("step", fontsize=8)
            axis.tick_params(labelsize=8)
            axis.grid(alpha=0.3)
    axes[0][0].legend(fontsize=8)
    figure.savefig(args.png, dpi=100)


def read(folder: Path, variant: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps, and the figure of every seed [seeds, steps]."""
    runs = []
    for path in sorted(folder.glob(f"{variant}-[0-9]*/health.csv")):
        with path.open(newline="", encoding="utf-8") as lines:
            runs.append(list(csv.DictReader(lines)))
    runs = [run for run in runs if name in run[0]]
    if not runs:
        return np.empty(0), np.empty((0, 0))
    steps = np.array([int(row["step"]) for row in runs[0]])
    return steps, np.array([[float(row[name]) for row in run] for run in runs])


if __name__ == "__main__":
    main()
