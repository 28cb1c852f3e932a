r"""Creation of the ResNet-18 for the comparison of tools, as a state dict and as exported models.

    PYTHONPATH=.:train:export python benchmarks/models.py --folder build/bench build/bench/slide20000.tif

The weights are random with a fixed seed. Batch-norm statistics come from real tiles, so that features vary
like those of a trained network. Files: weights.pth (names as in torchvision), fp32.onnx, fp16.onnx and
int8.onnx. Existing files are kept.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
import torchvision
from torchvision.models import ResNet

from wsi_embed import tile
from wsi_embed.slide import UInt8Array
from wsi_embed_export import Given, export

TILE_PX, MPP = 224, 0.5
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TILES = 256


def main() -> None:
    """Create the missing files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("slide", type=Path)
    parser.add_argument("--folder", type=Path, required=True)
    args = parser.parse_args()
    weights, tiles = args.folder / "weights.pth", args.folder / "tiles"
    tile(args.slide, tiles, max_tiles=TILES, tile_px=TILE_PX, mpp=MPP)
    if not weights.exists():
        files = sorted(tiles.rglob("*.png"))
        network = make_network(
            np.stack([np.asarray(cv2.imread(str(file), cv2.IMREAD_COLOR_RGB), np.uint8) for file in files])
        )
        torch.save(network.state_dict(), weights)
    for precision in ("fp32", "fp16", "int8"):
        path = args.folder / f"{precision}.onnx"
        if not path.exists():
            export(
                "torchvision:resnet18", path, weights=weights, precision=precision, calibrate=tiles, mpp=MPP,
                given=Given(MEAN, STD, TILE_PX), name=f"ResNet-18 {precision}",
            )  # fmt: skip
        print(path)


def make_network(tiles: UInt8Array) -> ResNet:
    """Create a ResNet-18 with random weights and the batch-norm statistics of tiles."""
    torch.manual_seed(0)
    network = torchvision.models.resnet18(weights=None)
    network.train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean over all batches
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    with torch.no_grad():
        for start in range(0, len(tiles), 32):
            images = torch.from_numpy(tiles[start : start + 32]).permute(0, 3, 1, 2).float() / 255
            network((images - mean) / std)
    return network.eval()


if __name__ == "__main__":
    main()
