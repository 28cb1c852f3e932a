r"""Make the demonstration model again: train, export, and the figures of its card.

    python benchmarks/default_model.py --tiles DATA/tiles.csv --run runs/default \
        --out wsi_embed/models/default.onnx

`tiles.csv` has the columns path, label, split (train, test). Each organ (the label's first word) is
evaluated by itself: nearest neighbour by cosine in the exported model's features, beside an untrained
network and a plain colour histogram. Prints one JSON document.
"""

from __future__ import annotations

import argparse
import csv
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from wsi_embed import Encoder, load_encoder
from wsi_embed_export import TileModel, export, read_source
from wsi_embed_train import build_method, load_recipe, train
from wsi_embed_train.data import read_image
from wsi_embed_train.evaluate import evaluate_knn

SETTINGS: dict[str, Any] = {
    "tile_px": 96,
    "mpp": 1.0,
    "epochs": 50,
    "batch_size": 128,
    "lr": 0.1,
    "alpha": 0.5,
    "clusters": 20,
    "precision": "bf16",
    "workers": 2,
}
LICENCE = "Apache-2.0 (weights); trained on LC25000 and oral squamous cell carcinoma tiles, see the card"


def main() -> None:
    """Train if the run is not there, export, evaluate."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiles", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if not (args.run / "checkpoints" / "last.ckpt").exists():
        train(args.tiles, args.run, load_recipe("clubyol-paper", **SETTINGS), split="train")
    metadata = export(
        args.run, args.out, precision="fp16", name="demonstration CluBYOL ResNet-18", licence=LICENCE
    )
    rows = list(csv.DictReader(args.tiles.open(newline="", encoding="utf-8")))
    tiles = np.stack([read_small(args.tiles.parent / r["path"], metadata.tile_px) for r in rows])
    encoder = load_encoder(args.out, device="cpu")
    torch.manual_seed(0)
    network = build_method(load_recipe("clubyol", clusters=2)).encoder.backbone
    untrained = TileModel(replace(read_source(args.run), backbone=network))
    trained, clusters = encode(encoder, tiles)
    features = {
        "this model": trained,
        "untrained ResNet-18": encode_torch(untrained, tiles),
        "colour histogram": np.stack([colour_histogram(t) for t in tiles]),
    }
    found = {
        "model_id": metadata.model_id,
        "parity": metadata.parity,
        "knn": {name: by_organ(f, rows) for name, f in features.items()},
        "clusters": cluster_use(clusters, rows),
    }
    print(json.dumps(found, indent=2))


def read_small(path: Path, px: int) -> npt.NDArray[np.uint8]:
    """A tile image reduced to the model's size by area, uint8 [px, px, 3]."""
    return np.asarray(cv2.resize(read_image(path), (px, px), interpolation=cv2.INTER_AREA), np.uint8)


def encode(
    encoder: Encoder, tiles: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Features and clusters of all tiles."""
    parts = [encoder.encode(tiles[i : i + 32]) for i in range(0, len(tiles), 32)]
    clusters = [p.cluster for p in parts if p.cluster is not None]
    return np.concatenate([p.features for p in parts]), np.concatenate(clusters)


def encode_torch(model: TileModel, tiles: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Features of all tiles by a network in PyTorch."""
    with torch.inference_mode():
        parts = [model(torch.from_numpy(tiles[i : i + 32]))[0].numpy() for i in range(0, len(tiles), 32)]
    return np.concatenate(parts)


def colour_histogram(tile: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Joint RGB histogram with 6 bins a channel, square root taken (so that cosine is Bhattacharyya's)."""
    counts, _ = np.histogramdd(tile.reshape(-1, 3), bins=6, range=[(0, 256)] * 3)
    return np.asarray(np.sqrt(counts.ravel()), np.float32)


def by_organ(features: npt.NDArray[np.float32], rows: list[dict[str, str]]) -> dict[str, Any]:
    """Scores of the nearest neighbour, each organ by itself."""
    found = {}
    for organ in sorted({r["label"].split("_")[0] for r in rows}):
        mine = [r["label"].startswith(organ) for r in rows]
        train_, test_ = (
            [m and r["split"] == s for m, r in zip(mine, rows, strict=True)] for s in ("train", "test")
        )
        labels = np.array([r["label"] for r in rows])
        scores = evaluate_knn(features[train_], list(labels[train_]), features[test_], list(labels[test_]))
        found[organ] = {k: round(v, 4) for k, v in asdict(scores).items()}
    return found


def cluster_use(clusters: npt.NDArray[np.int64], rows: list[dict[str, str]]) -> dict[str, Any]:
    """How many clusters the test tiles use, and the largest share."""
    counts = np.bincount(clusters[[r["split"] == "test" for r in rows]])
    return {"used": int((counts > 0).sum()), "largest_share": round(float(counts.max() / counts.sum()), 4)}


if __name__ == "__main__":
    main()
