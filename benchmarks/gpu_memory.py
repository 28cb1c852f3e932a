"""Check that a batch that does not fit into the memory of a GPU is halved, with the same features.

    PYTHONPATH=. python benchmarks/gpu_memory.py fp32.onnx --device cuda --batch 1024

The batch is encoded in small parts first. Then PyTorch takes all memory of the GPU but a little, and a new
session encodes the whole batch. On the CPU nothing is taken, and nothing is halved.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from wsi_embed import load_encoder

MIB = 2**20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--free", type=int, default=1500, help="MiB of memory that stay free")
    args = parser.parse_args()
    first = load_encoder(args.model, device=args.device)
    px = first.metadata.tile_px
    tiles = np.random.default_rng(0).integers(0, 256, (args.batch, px, px, 3), np.uint8)
    expected = np.concatenate(
        [np.asarray(first.encode(tiles[n : n + 16]).features) for n in range(0, args.batch, 16)]
    )
    del first
    taken = take_memory(args.free * MIB) if args.device != "cpu" else None
    encoder = load_encoder(args.model, device=args.device)
    began = time.perf_counter()
    found = np.asarray(encoder.encode(tiles).features)
    seconds = time.perf_counter() - began
    held = 0 if taken is None else taken.numel() / MIB
    print(f"{held:.0f} MiB taken, batch of {args.batch} tiles of {px} px, {seconds:.1f} s")
    print(f"halved to {encoder.most} tiles" if encoder.most else "not halved")
    print(f"largest difference of a feature: {np.abs(found - expected).max():.2g}")


def take_memory(free: int) -> torch.Tensor:
    """Allocate all free memory of the GPU but a number of bytes."""
    available, _ = torch.cuda.mem_get_info()
    return torch.empty(max(0, available - free), dtype=torch.uint8, device="cuda")


if __name__ == "__main__":
    main()
