"""Common parts of the scripts of other tools, which only need PyTorch and NumPy."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torchvision

TILE_PX, MPP = 224, 0.5
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH, THREADS = 32, 2

Found = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]


def network(weights: Path) -> torch.nn.Module:
    """Load the ResNet-18 without its last layer, with pooled features as output."""
    model = torchvision.models.resnet18(weights=None)
    model.load_state_dict(torch.load(weights, weights_only=True))
    model.fc = torch.nn.Identity()
    model.eval()
    return model  # type: ignore[no-any-return]


def measure(embed: Callable[[Path, Path, Path], Found]) -> None:
    """Run a tool on a slide and print a line of JSON.

    Args:
        embed: Function from slide, weights and output folder to features [N, D] and level-0 corners [N, 2].
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("slide", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="a folder of its own")
    args = parser.parse_args()
    torch.set_num_threads(THREADS)
    began = time.perf_counter()
    features, corners = embed(args.slide.resolve(), args.weights.resolve(), args.out.resolve())
    seconds = time.perf_counter() - began
    np.savez(args.out / "features.npz", features=features, coords=corners)
    print(json.dumps({
        "tiles": len(features),
        "seconds_without_imports": round(seconds, 3),
        "features": str(args.out / "features.npz"),
    }))  # fmt: skip
