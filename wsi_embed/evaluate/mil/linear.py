"""Bags by one vector each: the mean of their features, or their cluster histogram."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wsi_embed.bags.labels import LabelledBags
from wsi_embed.evaluate.mil.bags import BagFeatures
from wsi_embed.evaluate.mil.folds import Fold
from wsi_embed.evaluate.mil.settings import Predictions
from wsi_embed.evaluate.probe import fit_probe
from wsi_embed.store import Store


def means(store: Store, bags: LabelledBags) -> npt.NDArray[np.float32]:
    """Mean of the features of each bag, float32 [bags, D].

    Raises:
        StoreError: The store is damaged.
    """
    return BagFeatures(store, bags, memory=0).mean


def histograms(store: Store, bags: LabelledBags) -> npt.NDArray[np.float32]:
    """Share of each bag's tiles in each cluster, float32 [bags, clusters].

    Raises:
        UsageError: The store has no clusters.
        StoreError: The store is damaged.
    """
    return np.stack([bags.open(store, n).cluster_histogram() for n in range(len(bags))]).astype(np.float32)


def classify_fold(vectors: npt.NDArray[np.float32], bags: LabelledBags, fold: Fold) -> Predictions:
    """Fit a logistic regression on a fold's bags, and predict its test.

    It needs no validation part of its own: the regularisation is chosen within the bags to learn from, apart
    by patient, and then all of them are fitted.

    Args:
        vectors: Of all bags, [bags, D].
        bags: The bags.
        fold: Which bags are what.

    Raises:
        UsageError: A class has fewer than two patients to learn from.
    """
    learned = np.sort(np.concatenate([fold.train, fold.validation]))
    targets = bags.targets
    # numbers as labels of one width, so that their order stays that of the classes
    labels = [f"{targets[n]:04d}" for n in learned]
    probe = fit_probe(vectors[learned], labels, [bags[n].patient or "" for n in learned], fold.seed)
    probabilities = np.zeros((len(fold.test), len(bags.classes)))
    probabilities[:, [int(name) for name in probe.classes]] = probe.probabilities(vectors[fold.test])
    return Predictions(fold, probabilities)
