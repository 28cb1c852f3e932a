"""Common parts of BYOL and SimSiam, with the networks of the CluSiam repository."""

from __future__ import annotations

import abc
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from wsi_embed_train.methods.base import Method


class Siamese(Method):
    """Method that predicts the projection of one view from the other, without negatives."""

    @abc.abstractmethod
    def compare(self, views: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Return the projections of each view, float [B, D], and the invariance term, summed over views."""


def projector(width: int, feat_size: int) -> nn.Sequential:
    """Create SimSiam's projector (Chen and He, 2021), with hidden layers as wide as the features."""
    last = nn.Linear(width, feat_size)
    last.bias.requires_grad = False  # the following batch norm cancels a bias
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
    """Create a predictor of two layers, as wide as the projection; `bias` is for the first layer."""
    return nn.Sequential(
        nn.Linear(feat_size, hidden, bias=bias),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, feat_size),
    )


def mean_cosine(prediction: Tensor, target: Tensor) -> Tensor:
    """Return the mean cosine similarity of rows in float32, without gradient into the target."""
    return F.cosine_similarity(prediction.float(), target.detach().float(), dim=-1).mean()
