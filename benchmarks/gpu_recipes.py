"""Comparison of long runs of `clubyol` and `clubyol-paper`: loss, clusters and rank at the end.

    PYTHONPATH=.:train python benchmarks/gpu_recipes.py tiles.csv --out recipes --px 96 --steps 2000

Runs are those of `wsi-embed train`, on the tiles of the split `train`, which are repeated so that an epoch
has 100 steps.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.train import repeated
from wsi_embed_train import load_recipe, train
from wsi_embed_train.metrics_file import read_metrics

RECIPES = ("clubyol", "clubyol-paper")
EPOCH = 100


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tiles", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--px", type=int, default=96)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--devices", default="cuda")
    parser.add_argument("--precision", default="bf16")
    args = parser.parse_args()
    epoch = min(EPOCH, args.steps)
    ends = {}
    for recipe in RECIPES:
        config = load_recipe(
            recipe, tile_px=args.px, batch_size=args.batch_size, epochs=-(-args.steps // epoch),
            precision=args.precision, workers=args.workers, devices=args.devices, log_steps=min(20, epoch),
        )  # fmt: skip
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            source = repeated(args.tiles, "train", epoch * args.batch_size, Path(folder))
            train(source, args.out / recipe, config)
        last = read_metrics(args.out / recipe / "metrics.csv")[-1]
        ends[recipe] = last | {"seconds": time.monotonic() - began}
    print(f"| | {' | '.join(ends)} |\n|---|{'---|' * len(ends)}")
    for name in dict.fromkeys(name for last in ends.values() for name in last):
        cells = (f"{last[name]:.4g}" if name in last else "" for last in ends.values())
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
