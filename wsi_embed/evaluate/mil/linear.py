"""Classification of bags by one vector each: their mean features or their cluster histogram."""

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
    """Compute the mean features of each bag, float32 [bags, D].

    Raises:
        StoreError: If the store is damaged.
    """
    return BagFeatures(store, bags, memory=0).mean


def histograms(store: Store, bags: LabelledBags) -> npt.NDArray[np.float32]:
    """Compute the share of the tiles of each bag in each cluster, float32 [bags, clusters].

    Raises:
        UsageError: If the store has no clusters.
        StoreError: If the store is damaged.
    """
    return np.stack([bags.open(store, n).cluster_histogram() for n in range(len(bags))]).astype(np.float32)


def classify_fold(vectors: npt.NDArray[np.float32], bags: LabelledBags, fold: Fold) -> Predictions:
    """Fit a logistic regression on the bags of a fold, and predict its test bags.

    It is fitted on the training and validation bags together. The regularisation is chosen on a part of them
    with separate patients.

    Args:
        vectors: Vectors of all bags, float32 [bags, D].
        bags: The bags.
        fold: Training, validation and test bags.

    Raises:
        UsageError: If a class has fewer than two patients for training.
    """
    learned = np.sort(np.concatenate([fold.train, fold.validation]))
    targets = bags.targets
    # labels are zero-padded numbers, so that they sort in the order of the classes
    labels = [f"{targets[n]:04d}" for n in learned]
    probe = fit_probe(vectors[learned], labels, [bags[n].patient or "" for n in learned], fold.seed)
    probabilities = np.zeros((len(fold.test), len(bags.classes)))
    probabilities[:, [int(name) for name in probe.classes]] = probe.probabilities(vectors[fold.test])
    return Predictions(fold, probabilities)
