from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.made_models import (
    cluster_weights,
    made_metadata,
    pixel_scale,
    quadrant_weights,
    tiny_onnx,
)
from wsi_embed.encoder.metadata import FILE


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_onnx(tmp_path_factory.mktemp("models") / "tiny.onnx")


@pytest.fixture(scope="session")
def tiny_ts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    return tiny_torchscript(tmp_path_factory.mktemp("models") / "tiny.ts")


@pytest.fixture
def tiles() -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)


def tiny_torchscript(path: Path, *, metadata: bool = True, clusters: bool = True) -> Path:
    """The model of `tiny_onnx` (32 px, 8 features, 4 clusters) in TorchScript."""
    import torch

    class Quadrants(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = torch.from_numpy(quadrant_weights(0, 8))
            self.votes = torch.from_numpy(cluster_weights(0, 4))
            self.scale = float(pixel_scale(32))

        def forward(self, tiles: torch.Tensor) -> Any:
            sums = tiles.int().reshape(-1, 2, 16, 2, 16, 3).sum((2, 4)).reshape(-1, 12, 1)
            features = (sums * self.weights).sum(1).float() * self.scale
            if not clusters:
                return features
            votes = (sums * self.votes).sum(1)
            confidence = (votes.float() * self.scale).softmax(1).max(1).values
            return features, votes.argmax(1), confidence

    extra = {FILE: made_metadata(clusters=4 if clusters else None).to_json()} if metadata else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example = torch.zeros(2, 32, 32, 3, dtype=torch.uint8)
        traced = torch.jit.trace(Quadrants(), (example,))  # type: ignore[no-untyped-call]
        torch.jit.save(traced, str(path), _extra_files=extra)
    return path
