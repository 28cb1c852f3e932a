from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from tests.train.methods.made import small, views, without_gradient
from wsi_embed_train.methods.supervised import Supervised


def test_loss_is_the_cross_entropy() -> None:
    method = small(Supervised, "supervised", 3)
    other = copy.deepcopy(method)
    labels = torch.tensor([0, 2, 1, 1, 0, 2])
    step = method(views()[:1], labels)
    with torch.no_grad():
        features = other.encoder.backbone(views()[0])
        scores = other.classifier(features).double().numpy()
    shares = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    assert float(step.loss.detach()) == pytest.approx(-np.log(shares[range(6), labels]).mean(), abs=1e-5)
    assert float(step.terms["accuracy"]) == pytest.approx((scores.argmax(1) == labels.numpy()).mean())
    torch.testing.assert_close(step.projection, features)
    step.loss.backward()
    assert without_gradient(method) == []


def test_labels_are_needed() -> None:
    method = small(Supervised, "supervised", 3)
    assert (method.n_views, method.needs_labels) == (1, True)
    with pytest.raises(ValueError, match="needs labels"):
        method(views()[:1])
