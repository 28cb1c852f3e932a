"""Numbers that are not finite, said before a file is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from wsi_embed.errors import ModelError, UsageError, WsiEmbedError
from wsi_embed_export import TrainedModel, export
from wsi_embed_export.destination import writing
from wsi_embed_export.parity import ParityError


class Network(nn.Module):
    """A convolution whose activations are multiplied and divided by a factor before they are pooled."""

    def __init__(self, factor: float = 1.0, weight: float | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution, self.factor = nn.Conv2d(3, 8, 4), factor
        if weight is not None:
            self.convolution.weight.data[0, 0, 0, 0] = weight

    def forward(self, images: Tensor) -> Tensor:
        large = self.convolution(images) * self.factor
        pooled: Tensor = (large / self.factor).mean((2, 3))
        return pooled


def trained(network: nn.Module) -> TrainedModel:
    return TrainedModel(network, 8, None, None, None, "made", "made", 16, 0.5, (0.5,) * 3, (0.25,) * 3)


@pytest.mark.parametrize("network", [Network(factor=1e6), Network(weight=1e5)])
def test_overflow_in_half_precision(tmp_path: Path, network: nn.Module) -> None:
    with pytest.raises(ParityError) as failed:
        export(trained(network), tmp_path / "m.onnx", precision="fp16")
    assert str(failed.value) == "m.onnx: overflows in fp16; use `precision='fp32'`"
    assert list(tmp_path.iterdir()) == []
    export(trained(network), tmp_path / "m.ts")


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_weights_that_are_not_finite(tmp_path: Path, weight: float, precision: str) -> None:
    said = r"^m\.onnx: its weights are not finite \(backbone\.convolution\.weight\); use another checkpoint$"
    with pytest.raises(UsageError, match=said):
        export(trained(Network(weight=weight)), tmp_path / "m.onnx", precision=precision)
    assert list(tmp_path.iterdir()) == []


def test_features_that_are_not_finite(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^m\.ts: its features are not finite; check weights"):
        export(trained(Network(factor=1e39)), tmp_path / "m.ts")


def test_errors_name_the_file_that_was_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "m.onnx"
    with pytest.raises(WsiEmbedError) as failed, writing(out) as temporary:
        raise ModelError(f"{temporary.name} is wrong", where=temporary)
    assert str(failed.value) == f"{out}: m.onnx is wrong"
    assert isinstance(failed.value, ModelError)
