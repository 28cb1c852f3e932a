r"""Vision transformers on a CPU: tiles/s of ONNX Runtime in fp32 and int8, and how far int8 is from fp32.

    PYTHONPATH=.:train:export python benchmarks/transformers.py tiles.csv \
        --models vit_small_patch14_dinov2:dinov2s.bin vit_base_patch16_224 vit_large_patch16_224

A model is the name of an architecture of timm, with a file of weights or with random ones. Its features are
the class token. Tiles of the split `train` calibrate, others are encoded. One thread, by processor time.
Prints one line of JSON for each model.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.export.published import randomised
from wsi_embed.encoder import Encoded
from wsi_embed.encoder.difference import difference
from wsi_embed.slide import UInt8Array
from wsi_embed_export import Given, TileModel, TrainedModel, read_source
from wsi_embed_export.export import _metadata as metadata_of
from wsi_embed_export.quantise import quantise
from wsi_embed_export.real_tiles import users_tiles
from wsi_embed_export.write import write_onnx

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
BATCH = 4


def main() -> None:
    """Measure the models that are named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tiles", type=Path)
    parser.add_argument("--models", nargs="+", required=True)
    parser.add_argument("--calibrate", type=int, default=64)
    parser.add_argument("--encode", type=int, default=64)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for text in args.models:
        name, _, weights = text.partition(":")
        print(json.dumps(measured(name, weights, args)), flush=True)


def measured(name: str, weights: str, args: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of one architecture."""
    with tempfile.TemporaryDirectory() as folder:
        trained = model_of(name, weights, Path(folder))
        calibration = spread(users_tiles(args.tiles, trained, "train"), args.calibrate)
        tiles = spread(users_tiles(args.tiles, trained, "test"), args.encode)
        model = TileModel(trained)
        files = [Path(folder) / f"{precision}.onnx" for precision in ("fp32", "int8")]
        write_onnx(model, metadata_of(trained, model, name, ""), files[0])
        onnx.save(quantise(files[0], calibration, linear_only=model.has_layer_norms), str(files[1]))
        exact, fp32 = encoded(files[0], tiles)
        quantised, int8 = encoded(files[1], tiles)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.from_numpy(tiles[:1]))
    apart = difference(Encoded(exact), Encoded(quantised))
    return {
        "model": name,
        "weights": Path(weights).name or "random",
        "gflop": round(counter.get_total_flops() / 1e9, 1),
        "fp32_tiles_per_second": round(fp32, 2),
        "int8_tiles_per_second": round(int8, 2),
        "centred_cosine": round(apart.centred_cosine, 4),
        "min_centred_cosine": round(apart.min_centred_cosine, 4),
        "load": round(os.getloadavg()[0], 1),
    }


def spread(tiles: UInt8Array, count: int) -> UInt8Array:
    """Return tiles at equal distances, because tables list one class after the other."""
    return tiles[:: max(1, len(tiles) // count)][:count]


def model_of(name: str, weights: str, folder: Path) -> TrainedModel:
    """Return a network that sees tiles of 224 pixels."""
    if not weights:
        import timm

        weights = str(folder / "random.bin")
        torch.save(randomised(timm.create_model(name, num_classes=0), std=0.03).state_dict(), weights)
    given = Given(mean=IMAGENET[0], std=IMAGENET[1], tile_px=224, mpp=0.5, pooling="token")
    settings = {"dynamic_img_size": True}
    return read_source(f"timm:{name}", given, weights=Path(weights), settings=settings)


def encoded(path: Path, tiles: UInt8Array) -> tuple[npt.NDArray[np.float32], float]:
    """Return the features of tiles, and tiles per second of processor time on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    session.run(["features"], {"tiles": tiles[:1]})
    began = time.process_time()
    parts = [
        session.run(["features"], {"tiles": tiles[at : at + BATCH]})[0] for at in range(0, len(tiles), BATCH)
    ]
    return np.concatenate(parts), len(tiles) / (time.process_time() - began)


if __name__ == "__main__":
    main()
