"""The model id: what makes another model of the same weights, and what does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from wsi_embed.encoder import load_encoder
from wsi_embed_export import TileModel, TrainedModel

DATA = Path(__file__).parents[1] / "data"
BEFORE = "sha256:00d408779ba83ff812cf85f0728318c2"


def digest(backbone: nn.Module, tile_px: int = 32) -> str:
    colours = (0.5,) * 3
    return TileModel(
        TrainedModel(backbone, 8, None, None, None, "made", "made", tile_px, 0.5, colours, colours)
    ).digest()


def vit(**arguments: Any) -> nn.Module:
    made: nn.Module = timm.create_model(
        "vit_tiny_patch16_224", **{"num_classes": 0, "depth": 1, "img_size": 32, "embed_dim": 24, **arguments}
    )
    torch.manual_seed(0)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.02)
    return made


def test_same_weights_with_another_way_through_them_are_another_model() -> None:
    networks = [
        vit(),
        vit(global_pool="avg", fc_norm=False),
        vit(global_pool="avg", fc_norm=False, pool_include_prefix=True),
        vit(num_heads=2),
        vit(act_layer="relu"),
        vit(act_layer="gelu_tanh"),
    ]
    assert len({tuple(network.state_dict()) for network in networks}) == 1
    assert len({digest(network) for network in networks}) == len(networks)


def test_the_same_model_has_the_same_id(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = digest(vit())
    assert digest(vit(drop_rate=0.5, attn_drop_rate=0.5)) == expected  # neither applies in evaluation mode
    convolution = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    expected = digest(convolution)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    assert digest(convolution) == expected


class Applied(nn.Module):
    """A convolution, and a function of what it returns."""

    table: Tensor

    def __init__(self, function: Callable[[Tensor], Tensor], table: Tensor) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution, self.function = nn.Conv2d(3, 8, 4, stride=4), function
        self.register_buffer("table", table, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        activations = self.function(self.convolution(images) * self.table)
        return activations.mean((2, 3))


def negated(x: Tensor) -> Tensor:
    x[:, 0] = -x[:, 0]
    return x


def test_code_constants_and_computed_tables_count() -> None:
    ones, slope = torch.ones(8, 8), torch.linspace(0, 2, 64).reshape(8, 8)
    mask = torch.arange(8) > 3
    networks = [
        Applied(lambda x: x, ones),
        Applied(lambda x: x * 2, ones),
        Applied(lambda x: x * 3, ones),
        Applied(negated, ones),  # in place, so that no later operation takes its result
        Applied(lambda x: x * mask, ones),
        Applied(lambda x: x * ~mask, ones),
        Applied(lambda x: x, slope),
        Applied(lambda x: x, slope.flip(1)),
    ]
    assert len({digest(network) for network in networks}) == len(networks)
    nearly = Applied(lambda x: x, slope * (1 + 1e-7))  # another processor's sine
    assert digest(nearly) == digest(networks[-2])


def branching(x: Tensor, positive: bool) -> Tensor:
    return x.relu() if positive else -x


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")
def test_branches_of_scripted_functions_count() -> None:
    scripted, ones = torch.jit.script(branching), torch.ones(8, 8)
    chosen = {digest(Applied(lambda x, p=p: scripted(x, p), ones)) for p in (True, False)}  # type: ignore[misc]
    assert len(chosen) == 2


@pytest.mark.parametrize("suffix", ["onnx", "ts"])
def test_a_file_from_before_the_graph_counted_keeps_its_id(suffix: str) -> None:
    encoder = load_encoder(DATA / f"exported-before-graph-ids.{suffix}", device="cpu")
    assert encoder.model_id == BEFORE
    torch.manual_seed(0)
    again = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert digest(again, 16) != BEFORE
