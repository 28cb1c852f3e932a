r"""Benchmark of one trained encoder by engine and precision: images/s and difference from PyTorch fp32.

    export PYTHONPATH=.:train:export
    python benchmarks/encode.py RUN --tiles tiles.csv --calibrate tiles.csv --split train

All engines alternate in every pass, so that noise of the machine affects them equally; results are medians
over passes. Tiles for the comparison are those of the split `test`, tiles for the int8 calibration those of
`--split`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from wsi_embed import load_encoder
from wsi_embed.encoder import Encoded
from wsi_embed.encoder.base import concatenated
from wsi_embed.encoder.difference import difference
from wsi_embed.errors import WsiEmbedError
from wsi_embed.slide import UInt8Array
from wsi_embed_export import TrainedModel, export, read_source
from wsi_embed_export.real_tiles import users_tiles

Engine = Callable[[UInt8Array], Encoded]
FILES = {"fp32": "fp32.onnx", "fp16": "fp16.onnx", "int8": "int8.onnx", "script": "fp32.ts"}
# Name of the row, file and device.
ROWS = (
    ("TorchScript fp32", "script", "cpu"),
    ("ONNX Runtime fp32", "fp32", "cpu"),
    ("ONNX Runtime fp16", "fp16", "cpu"),
    ("ONNX Runtime int8", "int8", "cpu"),
    ("OpenVINO fp32", "fp32", "openvino"),
    ("OpenVINO bf16", "fp32", "openvino:bf16"),
    ("OpenVINO int8", "int8", "openvino"),
    ("ONNX Runtime CUDA fp32", "fp32", "cuda"),
    ("ONNX Runtime CUDA fp16", "fp16", "cuda"),
    ("TensorRT fp16", "fp16", "tensorrt"),
)


def main() -> None:
    """Export, load, measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source")
    parser.add_argument("--tiles", type=Path, required=True)
    parser.add_argument("--calibrate", type=Path, required=True)
    parser.add_argument("--split", default=None)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--batches", type=int, default=4, help="a pass")
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    trained = read_source(args.source)
    tiles = users_tiles(args.tiles, trained, "test")
    with TemporaryDirectory() as folder:
        for precision, name in FILES.items():
            export(
                args.source, Path(folder) / name, precision="fp32" if precision == "script" else precision,
                calibrate=args.calibrate, split=args.split, min_cosine=0.0,
            )  # fmt: skip
        engines, missing = open_engines(trained, Path(folder), args.threads)
        rates = measure(engines, tiles[: args.batch_size * args.batches], args.batch_size, args.passes)
        print_table(engines, missing, rates, tiles, args.batch_size)


def open_engines(
    trained: TrainedModel, folder: Path, threads: int
) -> tuple[dict[str, Engine], dict[str, str]]:
    """Return engines by name, the reference first, and reasons why others are unavailable."""
    engines: dict[str, Engine] = {"PyTorch eager fp32": eager(trained)}
    if torch.cuda.is_available():
        engines["PyTorch eager CUDA fp16"] = eager(trained, "cuda", torch.float16)
    missing = {} if torch.cuda.is_available() else {"PyTorch eager CUDA fp16": "no GPU"}
    for name, file, device in ROWS:
        try:
            engines[name] = load_encoder(folder / FILES[file], device=device, threads=threads, mpp=1.0).encode
        except WsiEmbedError as error:
            missing[name] = str(error).split(";")[0]
    return engines, missing


def eager(trained: TrainedModel, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Engine:
    """Return an engine that runs the networks in eager PyTorch, normalised as in torchvision."""
    parts = [m.eval() for m in (trained.backbone, trained.projector, trained.cluster_head) if m is not None]
    backbone, *heads = [part.to(device) for part in parts]
    backbone = backbone.to(dtype)
    if device == "cuda":
        backbone = backbone.to(memory_format=torch.channels_last)
    mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (trained.mean, trained.std))

    def encode(tiles: UInt8Array) -> Encoded:
        with torch.inference_mode():
            images = torch.from_numpy(tiles).to(device).permute(0, 3, 1, 2).float() / 255
            features = backbone(((images - mean) / std).to(dtype)).float()
            if len(heads) < 2:
                return Encoded(features.cpu().numpy())
            best, cluster = heads[1](heads[0](features)).softmax(1).max(1)
        return Encoded(features.cpu().numpy(), cluster.cpu().numpy(), best.cpu().numpy())

    return encode


def measure(engines: dict[str, Engine], tiles: UInt8Array, batch: int, passes: int) -> dict[str, float]:
    """Measure tiles per second, the median over passes."""
    for encode in engines.values():
        encode(tiles[:batch])
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(passes):
        for name, encode in engines.items():
            began = time.perf_counter()
            in_batches(encode, tiles, batch)
            seconds[name].append(time.perf_counter() - began)
    return {name: len(tiles) / statistics.median(times) for name, times in seconds.items()}


def in_batches(encode: Engine, tiles: UInt8Array, batch: int) -> Encoded:
    """Encode all tiles in batches."""
    return concatenated([encode(tiles[at : at + batch]) for at in range(0, len(tiles), batch)])


def print_table(
    engines: dict[str, Engine],
    missing: dict[str, str],
    rates: dict[str, float],
    tiles: UInt8Array,
    batch: int,
) -> None:
    """Print one line per engine."""
    print("| engine | tiles/s | to eager | centred cosine, mean | worst | same cluster |")
    print("|---|---|---|---|---|---|")
    reference, first = None, next(iter(rates.values()))
    for name, encode in engines.items():
        found = in_batches(encode, tiles, batch)
        found = replace(found, features=np.asarray(found.features))
        reference = reference or found
        far = difference(reference, found)
        same = "-" if far.cluster_agreement is None else f"{100 * far.cluster_agreement:.1f} %"
        print(
            f"| {name} | {rates[name]:.0f} | {rates[name] / first:.2f} | {far.centred_cosine:.6f} "
            f"| {far.min_centred_cosine:.6f} | {same} |"
        )
    for name, reason in missing.items():
        print(f"| {name} | not measured | | | | ({reason}) |")


if __name__ == "__main__":
    main()
