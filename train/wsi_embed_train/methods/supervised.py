"""Supervised training on labelled tiles, as an upper bound for comparisons."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from wsi_embed_train.methods.base import Encoder, Method, Step


class Supervised(Method):
    """Backbone and linear classifier, trained with the cross entropy of the labels.

    Args:
        backbone: Name of the backbone; see `make_backbone`.
        classes: Number of classes in the data.
    """

    n_views = 1
    needs_labels = True

    def __init__(self, *, backbone: str, classes: int) -> None:
        super().__init__()
        self.encoder = Encoder(backbone, lambda width: nn.Identity())
        self.classifier = nn.Linear(self.encoder.feature_dim, classes)

    def forward(self, views: Sequence[Tensor], labels: Tensor | None = None) -> Step:
        """Return the loss of one view and its labels; see `Method.forward`."""
        if labels is None:
            raise ValueError("supervised training needs labels")
        features = self.encoder(views[0])
        predicted = self.classifier(features).float()
        loss = F.cross_entropy(predicted, labels)
        accuracy = (predicted.argmax(dim=1) == labels).float().mean()
        terms = {"cross_entropy": loss.detach(), "accuracy": accuracy}
        return Step(loss, terms, features.detach())
