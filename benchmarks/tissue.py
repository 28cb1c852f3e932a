"""Benchmark of tissue masks on synthetic views with known truth: accuracy and time.

    PYTHONPATH=. python benchmarks/tissue.py --seeds 8

Prints two Markdown tables: Dice (minimum and mean over the seeds) by case and recipe, and milliseconds per
megapixel on one core.
"""

from __future__ import annotations

import argparse
import time

import cv2
import numpy as np

from tests.made_tissue import CASES, MPP, dice, made
from wsi_embed.tissue import TissueRecipe
from wsi_embed.tissue.mask import find_tissue

RECIPES = ("otsu", "otsu-local", "hsv")
FIRST_SEED = 9000  # seeds that were not used to design the recipes


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    print("| made view |", " | ".join(RECIPES), "|")
    print("|---" * (len(RECIPES) + 1) + "|")
    for case, (kind, steps) in CASES.items():
        views = [made(FIRST_SEED + seed, kind, *steps) for seed in range(args.seeds)]
        cells = []
        for name in RECIPES:
            found = [dice(find_tissue(pixels, TissueRecipe(name), MPP)[0], truth) for pixels, truth in views]
            cells.append(f"{min(found):.3f} / {np.mean(found):.3f}")
        print(f"| {case} |", " | ".join(cells), "|")
    print()
    print_times(args.repeats)


def print_times(repeats: int) -> None:
    """Print the milliseconds per megapixel of each recipe, medians over views of 10 megapixels."""
    views = {}
    for case in ("plain", "fat", "everything"):
        kind, steps = CASES[case]
        views[case] = np.tile(made(FIRST_SEED, kind, *steps)[0], (4, 4, 1))
    print("| ms a megapixel |", " | ".join(RECIPES), "|")
    print("|---" * (len(RECIPES) + 1) + "|")
    for case, pixels in views.items():
        cells = []
        for name in RECIPES:
            times = []
            for _ in range(repeats):
                began = time.process_time()
                find_tissue(pixels, TissueRecipe(name), MPP)
                times.append(time.process_time() - began)
            cells.append(f"{1e9 * np.median(times) / (pixels.size / 3):.0f}")
        print(f"| {case} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
