"""Memory for each tile of a batch, against sizes computed by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from wsi_embed_export.activations import BUDGET, LARGE, budget_for, largest_activation, largest_batch
from wsi_embed_export.parity import parity_tiles


class Attention(nn.Module):
    """Attention with four heads among the pixels of a tile."""

    def __init__(self) -> None:
        super().__init__()
        self.keys = nn.Linear(3, 32)

    def forward(self, tiles: Tensor) -> Tensor:
        tokens = self.keys(tiles.float().flatten(1, 2)).reshape(len(tiles), -1, 4, 8).transpose(1, 2)
        return functional.scaled_dot_product_attention(tokens, tokens, tokens).mean((1, 2))


@pytest.mark.parametrize("px", [8, 16])
def test_attention_weights_count_although_pytorch_never_holds_them(px: int) -> None:
    tile = torch.zeros(1, px, px, 3, dtype=torch.uint8)
    assert largest_activation(Attention(), tile) == 4 * (px * px) ** 2 * 4  # heads, tokens squared, float32


def test_attention_of_pytorch_s_own_layer() -> None:
    layer = nn.Sequential(nn.Flatten(1, 2), nn.TransformerEncoderLayer(6, 2, 12, batch_first=True)).eval()
    assert largest_activation(layer, torch.zeros(1, 20, 5, 6)) == 2 * 100**2 * 4


def test_large_weights_do_not_count() -> None:
    layer = nn.Linear(1000, 1000)
    assert largest_activation(layer, torch.zeros(1, 1000)) == 1000 * 4


def test_batches_follow_the_memory() -> None:
    per_tile = 4 * 64**2 * 4
    assert largest_batch(Attention(), 8, budget=5 * 10 * per_tile) == 10
    assert largest_batch(Attention(), 8, budget=1) == 2  # one tile would not show that batches are dynamic


@pytest.mark.parametrize(
    ("most", "sizes"),
    [
        (100, [1, 2, 7, 64]),
        (20, [1, 2, 7, 20]),
        (10, [1, 2, 7, 10, 6]),
        (2, [1, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 2, 2]),
    ],
)
def test_larger_batches_are_divided(most: int, sizes: list[int]) -> None:
    for kind in parity_tiles(8, most=most):
        assert [len(tiles) for tiles in kind] == sizes


def test_large_models_are_compared_on_smaller_batches() -> None:
    assert budget_for(LARGE - 1) == BUDGET == 4 * budget_for(LARGE)
