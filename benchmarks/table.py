r"""The paper's tables on your data: every method under one budget of steps, exported and evaluated.

    export PYTHONPATH=.:train:export
    python benchmarks/table.py tiles.csv --split train --tiles tiles.csv --out table --epochs 50 --seeds 0 1 2

trains each method on SOURCE (slides, tile images or a CSV, as `wsi-embed train` takes them), exports it,
and classifies the labelled tiles of `--tiles` (columns `path`, `label`, `split`) by their nearest neighbour.
Labels that begin with different words (`lung_normal`, `oral_normal`) are tasks of their own. What is in
`--out` already is not done again: run the same command after an interruption. `supervised` needs a SOURCE
with a column `label`.

With `--slides` and `--labels` (as `wsi-embed eval mil` takes them) every model embeds the slides too, and
DSMIL is trained and tested on the bags:

    ... --slides slides/ --labels slides.csv

The paper's figures (Wu et al., ICCV 2023: CAMELYON16, 224 px, batch 512, 50 epochs) stand beside them.
"""

from __future__ import annotations

import argparse
import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from benchmarks.table_slides import Bags, export_untrained, print_slides, spread
from wsi_embed import load_encoder
from wsi_embed.encoder.base import concatenated
from wsi_embed.slide import UInt8Array
from wsi_embed.tile_images import fit_image, read_image
from wsi_embed_export import TileModel, export, read_source
from wsi_embed_train import build_method, load_recipe, parse_settings, train
from wsi_embed_train.evaluate import evaluate_knn

METHODS = (
    "supervised", "simclr", "swav", "pcl", "barlow", "byol", "clubyol-paper", "clubyol", "simsiam", "clusiam",
)  # fmt: skip
# Nearest neighbour (k = 1), macro F1, on tiles of CAMELYON16.
PAPER = {
    "simclr": 0.656, "swav": 0.615, "pcl": 0.382, "barlow": 0.681, "byol": 0.441, "clubyol-paper": 0.768,
    "simsiam": 0.511, "clusiam": 0.730,
}  # fmt: skip
BATCH = 64
Scores = dict[str, dict[str, float]]


def main() -> None:
    """Do what is missing, then print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("--split")
    parser.add_argument("--tiles", type=Path, required=True, help="labelled tiles: path, label, split")
    parser.add_argument("--slides", type=Path, help="for the table at slide level")
    parser.add_argument("--labels", type=Path, help="of the slides: slide_id or patient, label")
    parser.add_argument("--tissue", default="otsu", help="of the slides")
    parser.add_argument("--overlap", type=int, default=0, help="of tiles of the slides, pixels")
    parser.add_argument("--mpp", type=float, help="of tiles of the slides, where the training had none")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), metavar="RECIPE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, help="for all; by default each recipe's")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="for all recipes")
    args = parser.parse_args()
    if (args.slides is None) != (args.labels is None):
        parser.error("--slides and --labels go together")
    settings = parse_settings(args.set) | ({"epochs": args.epochs} if args.epochs else {})
    for seed in args.seeds:
        for method in args.methods:
            folder = args.out / f"{method}-{seed}"
            if not (folder / "scores.json").exists():
                train_one(args.source, args.split, folder, method, {**settings, "seed": seed})
                write(folder / "scores.json", score(Tiles(args.tiles), folder / "model.onnx"))
    if not (args.out / "baselines.json").exists():
        write(args.out / "baselines.json", baselines(Tiles(args.tiles), args.out))
    print_table(args.out, args.methods)
    if args.slides:
        print()
        bags = Bags(args.slides, args.labels, args.tissue, args.overlap, args.mpp)
        print_slides(score_slides(bags, args.out, args.methods))


def train_one(source: Path, split: str | None, folder: Path, method: str, settings: dict[str, Any]) -> None:
    """Train, going on where an earlier start was, and export."""
    run = folder / "run"
    config = load_recipe(method, **settings)
    train(source, run, config, split=split, resume=(run / "checkpoints" / "last.ckpt").exists())
    export(run, folder / "model.onnx", name=method)


class Tiles:
    """Labelled tiles, read as they are needed."""

    def __init__(self, source: Path) -> None:
        with source.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
        self.paths = [source.parent / row["path"] for row in rows]
        self.labels = np.array([row["label"] for row in rows])
        self.splits = np.array([row["split"] for row in rows])
        self.tasks = np.array([row["label"].partition("_")[0] for row in rows])

    def read(self, px: int, start: int) -> UInt8Array:
        """A batch of tiles from number `start`, reduced to `px` by area."""
        return np.stack([fit_image(read_image(p), px, px, p) for p in self.paths[start : start + BATCH]])


def score(tiles: Tiles, model: Path) -> Scores:
    """Scores of an exported model's features."""
    encoder = load_encoder(model, device="auto")
    px = encoder.metadata.tile_px
    parts = [encoder.encode(tiles.read(px, at)) for at in range(0, len(tiles.paths), BATCH)]
    return by_task(concatenated(parts).features, tiles)


def by_task(features: npt.NDArray[np.float32], tiles: Tiles) -> Scores:
    """Nearest neighbour of the test tiles among the training tiles, each task by itself."""
    found = {}
    for task in sorted(set(tiles.tasks)):
        train_, test = ((tiles.tasks == task) & (tiles.splits == split) for split in ("train", "test"))
        said = evaluate_knn(
            features[train_], list(tiles.labels[train_]), features[test], list(tiles.labels[test])
        )
        found[task] = {"f1": said.f1_macro, "balanced_accuracy": said.balanced_accuracy}
    return found


def baselines(tiles: Tiles, out: Path) -> dict[str, list[Scores]]:
    """What needs no training: the network as it starts (three seeds), and a histogram of the colours."""
    trained = read_source(next(iter(sorted(out.glob("*-*/run")))))
    found: dict[str, list[Scores]] = {"untrained ResNet-18": [], "colour histogram": []}
    for seed in range(3):
        torch.manual_seed(seed)
        backbone = build_method(load_recipe("clubyol")).encoder.backbone
        model = TileModel(replace(trained, backbone=backbone, projector=None, cluster_head=None))
        with torch.inference_mode():
            rows = [
                model(torch.from_numpy(tiles.read(trained.tile_px, at))).numpy()
                for at in range(0, len(tiles.paths), BATCH)
            ]
        found["untrained ResNet-18"].append(by_task(np.concatenate(rows), tiles))
    histograms = [
        colour_histogram(tile)
        for at in range(0, len(tiles.paths), BATCH)
        for tile in tiles.read(trained.tile_px, at)
    ]
    found["colour histogram"].append(by_task(np.stack(histograms), tiles))
    return found


def colour_histogram(tile: UInt8Array) -> npt.NDArray[np.float32]:
    """Joint RGB histogram, 6 bins a channel, square root taken: its cosine is Bhattacharyya's coefficient."""
    counts = cv2.calcHist([tile], [0, 1, 2], None, [6, 6, 6], [0, 256] * 3)
    return np.sqrt(counts.ravel())


def print_table(out: Path, methods: list[str]) -> None:
    """One line a method: mean of its seeds, least and most."""
    known: dict[str, list[Scores]] = read(out / "baselines.json")
    for method in methods:
        known[method] = [read(path) for path in sorted(out.glob(f"{method}-[0-9]*/scores.json"))]
    tasks = sorted(known["colour histogram"][0])
    heads = [f"{task}: {figure}" for task in tasks for figure in ("F1", "balanced accuracy")]
    print("| " + " | ".join(["features", "seeds", *heads, "paper, F1 on CAMELYON16"]) + " |")
    print("|" + "---|" * (len(heads) + 3))
    for name, scores in known.items():
        cells = [
            spread([each[task][figure] for each in scores])
            for task in tasks
            for figure in ("f1", "balanced_accuracy")
        ]
        print("| " + " | ".join([name, str(len(scores)), *cells, f"{PAPER.get(name, '')}"]) + " |")


def score_slides(bags: Bags, out: Path, methods: list[str]) -> dict[str, list[dict[str, Any]]]:
    """Of every trained model, and of the network as it starts; what is known already is not done again."""
    runs = sorted(out.glob("*-[0-9]*/run"))
    folders = {"untrained ResNet-18": [out / f"untrained-{seed}" for seed in range(3)]}
    folders |= {m: sorted(out.glob(f"{m}-[0-9]*")) for m in methods if (out / f"{m}-0").exists()}
    for folder in folders["untrained ResNet-18"]:
        if not (folder / "model.onnx").exists():
            folder.mkdir(exist_ok=True)
            export_untrained(runs[0], int(folder.name.rpartition("-")[2]), folder / "model.onnx")
    found: dict[str, list[dict[str, Any]]] = {}
    for name, each in folders.items():
        for folder in each:
            if not (folder / "slides.json").exists():
                write(folder / "slides.json", bags.score(folder / "model.onnx", folder / "feats.zarr"))
            found.setdefault(name, []).append(read(folder / "slides.json"))
    return found


def write(path: Path, value: Any) -> None:
    """A JSON file."""
    path.write_text(json.dumps(value, indent=2) + "\n", "utf-8")


def read(path: Path) -> Any:
    """What a JSON file holds."""
    return json.loads(path.read_text("utf-8"))


if __name__ == "__main__":
    main()
