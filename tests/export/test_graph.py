"""The module that is exported."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from wsi_embed_export.graph import TileModel
from wsi_embed_export.trained import TrainedModel


class Untraceable(nn.Module):
    """A backbone whose way depends on its input, so that its batch norms cannot be folded."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.conv(images).mean((2, 3))
        return features if images.sum() >= 0 else -features


class Counting(nn.Module):
    """A backbone that takes the length of a tensor, as Hiera does: symbols have none."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.conv(images).reshape(len(images), 4, -1).mean(2)
        return features


@pytest.mark.parametrize(
    "backbone", [Untraceable(), Counting(), nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())]
)
def test_half_precision_leaves_the_given_backbone_as_it_is(backbone: nn.Module) -> None:
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    trained = TrainedModel(
        backbone, 4, None, None, None, "made", "made", 16, 0.5, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2)
    )
    half = TileModel(trained, "fp16")
    assert next(half.backbone.parameters()).dtype == torch.float16
    for name, value in backbone.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, before[name])
