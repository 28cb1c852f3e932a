"""Small methods, views and counts of layers for the tests of methods."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

from tests.made_models import tiny_config
from wsi_embed_train import build_method
from wsi_embed_train.methods import Method

M = TypeVar("M", bound=Method)
TEACHER = {"feature_dim": 12, "clusters": 4}


def small(kind: type[M], recipe: str, classes: int | None = None, /, **settings: object) -> M:
    """A method of a shipped recipe with its own backbone and tiny heads, always the same weights."""
    torch.manual_seed(0)
    config = tiny_config(recipe, **({"backbone": "resnet18"} | settings))
    method = build_method(config.method, vars(config), classes, TEACHER)
    assert isinstance(method, kind)
    return method


def views(seed: int = 0, count: int = 6) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(count, 3, 32, 32, generator=generator) for _ in range(2)]


def linears(module: nn.Module) -> list[tuple[int, int, bool]]:
    """Inputs, outputs, and whether there is a bias, of the linear layers in order."""
    return [
        (m.in_features, m.out_features, m.bias is not None)
        for m in module.modules()
        if isinstance(m, nn.Linear)
    ]


def norms(module: nn.Module) -> list[tuple[int, bool]]:
    return [(m.num_features, m.affine) for m in module.modules() if isinstance(m, nn.BatchNorm1d)]


def count(module: nn.Module, *, learned: bool = False) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not learned)


def mean_cosine(a: Tensor, b: Tensor) -> Tensor:
    return torch.stack([x @ y / (x.norm() * y.norm()) for x, y in zip(a, b, strict=True)]).mean()


def without_gradient(method: Method) -> list[str]:
    """Learned parameters that the last backward pass left out."""
    return [n for n, p in method.named_parameters() if p.requires_grad and p.grad is None]
