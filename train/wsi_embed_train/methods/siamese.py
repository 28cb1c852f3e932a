"""What BYOL and SimSiam have in common, their networks as in the CluSiam repository."""

from __future__ import annotations

import abc
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from wsi_embed_train.methods.base import Method


class Siamese(Method):
    """Predicts one view's projection from the other's; nothing is contrasted."""

    @abc.abstractmethod
    def compare(self, views: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Projections of each view, float [B, D], and the invariance term: a sum over both views."""


def projector(width: int, feat_size: int) -> nn.Sequential:
    """SimSiam's projector (Chen and He, 2021), its hidden layers as wide as the backbone's features."""
    last = nn.Linear(width, feat_size)
    last.bias.requires_grad = False  # the batch norm behind it cancels a bias
    return nn.Sequential(
        nn.Linear(width, width, bias=False),
        nn.BatchNorm1d(width),
        nn.ReLU(inplace=True),
        nn.Linear(width, width, bias=False),
        nn.BatchNorm1d(width),
        nn.ReLU(inplace=True),
        last,
        nn.BatchNorm1d(feat_size, affine=False),
    )


def predictor(feat_size: int, hidden: int, *, bias: bool) -> nn.Sequential:
    """Two layers back to the projection's width; `bias` is the first layer's."""
    return nn.Sequential(
        nn.Linear(feat_size, hidden, bias=bias),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, feat_size),
    )


def mean_cosine(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean cosine similarity of rows, in float32; no gradient into the target."""
    return F.cosine_similarity(prediction.float(), target.detach().float(), dim=-1).mean()
