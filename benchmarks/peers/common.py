"""What the scripts of all peers share; needs PyTorch and NumPy alone."""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path

STARTED = time.perf_counter()

import numpy as np  # noqa: E402 (the clock runs)
import numpy.typing as npt  # noqa: E402

TILE_PX, MPP = 224, 0.5
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH = 32

Found = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]


def network(weights: Path):  # type: ignore[no-untyped-def] # noqa: ANN201 - PyTorch is the peer's
    """The ResNet-18 without its last layer: features of the pooling."""
    import torch
    import torchvision

    model = torchvision.models.resnet18(weights=None)
    model.load_state_dict(torch.load(weights, weights_only=True))
    model.fc = torch.nn.Identity()
    return model.eval()


def measure(embed: Callable[[Path, Path, Path], Found]) -> None:
    """Run a peer on a slide and print a line of JSON.

    Args:
        embed: Given slide, weights and a folder for what it writes; features [N, D] and level-0 corners [N, 2].
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("slide", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="a folder of its own")
    args = parser.parse_args()
    imported = time.perf_counter()
    features, corners = embed(args.slide.resolve(), args.weights.resolve(), args.out.resolve())
    ended = time.perf_counter()
    np.savez(args.out / "features.npz", features=features, coords=corners)
    kinds = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    print(json.dumps({
        "tiles": len(features),
        "import_seconds": round(imported - STARTED, 3),
        "seconds_without_imports": round(ended - imported, 3),
        "peak_memory_mb": round(max(resource.getrusage(kind).ru_maxrss for kind in kinds) / 1024),
        "features": str(args.out / "features.npz"),
    }))  # fmt: skip
