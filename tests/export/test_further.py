"""Further outputs are compared before a file gets its name, each against its own limit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from wsi_embed_export import TileModel, read_source
from wsi_embed_export.further import check_further
from wsi_embed_export.parity import Limits, ParityError, limits_of, made_tiles

OUTPUTS = ("projection", "cluster_logits")
BATCHES = [made_tiles(np.random.default_rng(count), count, 32) for count in (1, 9)]


def model_of(run: Path, outputs: tuple[str, ...] = OUTPUTS) -> TileModel:
    return TileModel(read_source(run), extra=outputs)


@pytest.fixture(params=[".onnx", ".ts"])
def path(request: pytest.FixtureRequest, exported_further: dict[str, Path]) -> Path:
    return exported_further[request.param]


def test_the_model_itself_passes(run: Path, path: Path) -> None:
    check_further(model_of(run), path, limits_of("fp32"), BATCHES)


def faulty(run: Path, layer: int) -> TileModel:
    """The model with other weights in the last linear layer of a part of its head."""
    model = model_of(run)
    assert model.head is not None
    linear = [m for m in model.head[layer].modules() if isinstance(m, nn.Linear)][-1]
    with torch.no_grad():
        linear.weight.add_(torch.randn_like(linear.weight))
    return model


@pytest.mark.parametrize(("layer", "output"), [(0, "projection|cluster_logits"), (-1, "cluster_logits")])
def test_a_fault_behind_the_features_names_its_output(run: Path, path: Path, layer: int, output: str) -> None:
    model = faulty(run, layer)
    with pytest.raises(ParityError, match=f"in ({output})"):
        check_further(model, path, limits_of("fp32"), BATCHES)


def test_another_width_is_refused(run: Path, path: Path) -> None:
    model = model_of(run)
    assert model.head is not None
    last = model.head[-1]
    assert isinstance(last, nn.Linear)
    model.head[-1] = nn.Linear(last.in_features, last.out_features + 1)
    with pytest.raises(ParityError, match=r"cluster_logits has shape \[10, \d+\], expected"):
        check_further(model, path, Limits(), BATCHES)


def test_nothing_further_is_nothing_to_compare(run: Path) -> None:
    check_further(model_of(run, ()), Path("not there.onnx"), limits_of("fp32"), BATCHES)
