r"""Make the demonstration models again: cut the tiles, train, export, and the figures of the card.

    export PYTHONPATH=.:train:export
    python benchmarks/default_model.py --tiles DATA/tiles.csv --pictures DATA/slides/CMU-1-Small-Region.svs \
        DATA/regions/hgsc_nest.jpg DATA/regions/hgsc_stromal_he.jpg --run runs/default --out wsi_embed/models

`tiles.csv` has the columns path, label, split (train, test). Trained is on its oral tiles of the split
`train`, without their labels, and on tiles cut from the pictures. Each organ (the label's first word) is
evaluated by itself: nearest neighbour by cosine in the exported models' features, beside an untrained network
and a plain colour histogram. Prints one JSON document.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from wsi_embed import Encoder, load_encoder, open_slide
from wsi_embed_export import TileModel, export, read_source
from wsi_embed_train import build_method, load_recipe, train
from wsi_embed_train.data import read_image
from wsi_embed_train.evaluate import evaluate_knn

# What differs from the recipe `clubyol`. Colour says much about these tissues, so it is changed little.
SETTINGS: dict[str, Any] = {
    "tile_px": 96,
    "mpp": 1.0,
    "epochs": 40,
    "batch_size": 128,
    "lr": 0.3,
    "alpha": 0.5,
    "clusters": 20,
    "vflip_p": 0.5,
    "jitter": [0.2, 0.2, 0.2, 0.03],
    "grey_p": 0.05,
    "precision": "bf16",
    "devices": "cpu",
    "workers": 1,
}
TRAINED_ON = "oral"
PX, STRIDE = 224, 112
LICENCE = "Apache-2.0 (weights); the data and their licences: see the card"
NAME = "demonstration CluBYOL ResNet-18"


def main() -> None:
    """Train if the run is not there, export, evaluate."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiles", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, nargs="*", default=[])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="a folder")
    args = parser.parse_args()
    rows = list(csv.DictReader(args.tiles.open(newline="", encoding="utf-8")))
    source = args.run.with_suffix(".csv")
    if not (args.run / "checkpoints" / "last.ckpt").exists():
        write_source(rows, args.tiles.parent, args.pictures, source)
        train(source, args.run, load_recipe("clubyol", **SETTINGS))
    exact, fast = args.out / "default.onnx", args.out / "default-int8.onnx"
    export(args.run, exact, precision="fp16", name=NAME, licence=LICENCE)
    export(args.run, fast, precision="int8", name=f"{NAME}, int8", licence=LICENCE, calibrate=source)
    print(json.dumps(evaluate(args.run, [exact, fast], rows, args.tiles.parent), indent=2))


def write_source(rows: list[dict[str, str]], folder: Path, pictures: list[Path], out: Path) -> None:
    """List the tiles to train on; those of the pictures are cut into a folder beside the list."""
    tiles = [folder / r["path"] for r in rows if r["split"] == "train" and r["label"].startswith(TRAINED_ON)]
    cut = out.with_suffix("")
    cut = cut.parent / f"{cut.name}-cut"
    cut.mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        for x, y, tile in windows(picture):
            tiles.append(cut / f"{picture.stem}_{y}_{x}.png")
            cv2.imwrite(str(tiles[-1]), tile[..., ::-1])
    out.write_text("path\n" + "".join(f"{tile.resolve()}\n" for tile in tiles), "utf-8")


def windows(picture: Path) -> Iterator[tuple[int, int, npt.NDArray[np.uint8]]]:
    """Overlapping tiles of a slide's finest level, but for those that are mostly white."""
    with open_slide(picture) as slide:
        pixels = slide.read(0, 0, 0, *slide.level_sizes[0])
    for y in range(0, len(pixels) - PX + 1, STRIDE):
        for x in range(0, pixels.shape[1] - PX + 1, STRIDE):
            tile = pixels[y : y + PX, x : x + PX]
            if (tile.mean(2) > 225).mean() <= 0.6:
                yield x, y, tile


def evaluate(run: Path, models: list[Path], rows: list[dict[str, str]], folder: Path) -> dict[str, Any]:
    """The figures of the card."""
    encoders = {path.stem: load_encoder(path, device="cpu") for path in models}
    px = next(iter(encoders.values())).metadata.tile_px
    tiles = np.stack([read_small(folder / r["path"], px) for r in rows])
    encoded = {name: encode(encoder, tiles) for name, encoder in encoders.items()}
    features = {name: found for name, (found, _) in encoded.items()}
    for seed in range(3):
        torch.manual_seed(seed)
        network = build_method(load_recipe("clubyol", clusters=2)).encoder.backbone
        untrained = TileModel(replace(read_source(run), backbone=network))
        features[f"untrained ResNet-18, seed {seed}"] = encode_torch(untrained, tiles)
    features["colour histogram"] = np.stack([colour_histogram(t) for t in tiles])
    return {
        "models": {
            name: {"model_id": encoder.metadata.model_id, "parity": encoder.metadata.parity}
            for name, encoder in encoders.items()
        },
        "knn": {name: by_organ(found, rows) for name, found in features.items()},
        "clusters": {name: cluster_use(clusters, rows) for name, (_, clusters) in encoded.items()},
    }


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
