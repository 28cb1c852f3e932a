r"""Reproduction of the demonstration models: cuts tiles, trains, exports, and computes the model card.

    export PYTHONPATH=.:train:export
    python benchmarks/default_model.py --tiles DATA/tiles.csv --pictures DATA/slides/CMU-1-Small-Region.svs \
        DATA/regions/hgsc_nest.jpg DATA/regions/hgsc_stromal_he.jpg --run runs/default --out wsi_embed/models

`tiles.csv` has the columns path, label, split (train, test). The training uses its oral tiles of the split
`train`, without labels, and tiles cut from the pictures. Each organ (the first word of the label) is
evaluated separately: nearest neighbour by cosine with the features of the exported models, of an untrained
network and of a plain colour histogram. Prints one JSON document.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.table import untrained
from benchmarks.table_tiles import ImageTiles
from wsi_embed import Encoder, load_encoder, open_slide
from wsi_embed.encoder.encode_images import encode_images
from wsi_embed.evaluate.tile_table import TileTable, read_tile_table
from wsi_embed_export import export
from wsi_embed_train import load_recipe, train

# Differences from the recipe `clubyol`. The colour of these tissues is informative, so its jitter is weak.
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
    """Train unless the run exists, export, and evaluate."""
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
    print(json.dumps(evaluate(args.run, [exact, fast], args.tiles), indent=2))


def write_source(rows: list[dict[str, str]], folder: Path, pictures: list[Path], out: Path) -> None:
    """List the tiles for the training. Tiles of the pictures are cut into a folder beside the list."""
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
    """Yield overlapping tiles of the finest level of a slide that are not mostly white."""
    with open_slide(picture) as slide:
        pixels = slide.read(0, 0, 0, *slide.level_sizes[0])
    for y in range(0, len(pixels) - PX + 1, STRIDE):
        for x in range(0, pixels.shape[1] - PX + 1, STRIDE):
            tile = pixels[y : y + PX, x : x + PX]
            if (tile.mean(2) > 225).mean() <= 0.6:
                yield x, y, tile


def evaluate(run: Path, models: list[Path], tiles: Path) -> dict[str, Any]:
    """Compute the figures of the model card."""
    table, images = read_tile_table(tiles), ImageTiles(tiles, organs=True)
    encoders = {path.stem: load_encoder(path, device="cpu") for path in models}
    knn = {path.stem: images.score(path) for path in models}
    with TemporaryDirectory() as folder:
        for seed in range(3):
            untrained(run, seed, Path(folder) / str(seed))
            knn[f"untrained ResNet-18, seed {seed}"] = images.score(Path(folder) / str(seed) / "model.onnx")
    knn["colour histogram"] = images.score_histograms(models[0])
    return {
        "models": {
            name: {"model_id": encoder.metadata.model_id, "parity": encoder.metadata.parity}
            for name, encoder in encoders.items()
        },
        "knn": knn,
        "clusters": {name: cluster_use(encoder, table) for name, encoder in encoders.items()},
    }


def cluster_use(encoder: Encoder, table: TileTable) -> dict[str, Any]:
    """Count the clusters used by the test tiles, and compute the share of the largest."""
    clusters = encode_images(encoder, [table.paths[n] for n in np.flatnonzero(table.tiles.test)]).cluster
    assert clusters is not None
    counts = np.bincount(clusters)
    return {"used": int((counts > 0).sum()), "largest_share": round(float(counts.max() / counts.sum()), 4)}


if __name__ == "__main__":
    main()
