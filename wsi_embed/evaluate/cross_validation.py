"""Comparison of features of labelled tiles by cross-validation, with folds disjoint by group."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wsi_embed.errors import UsageError
from wsi_embed.evaluate.bootstrap import RESAMPLES
from wsi_embed.evaluate.fold_scores import CrossValidation, Predicted, scored
from wsi_embed.evaluate.folds import Folds
from wsi_embed.evaluate.knn import classify_by_neighbours
from wsi_embed.evaluate.probe import fit_probe, fit_ridge, validation_part
from wsi_embed.evaluate.several_models import Progress
from wsi_embed.evaluate.tile_set import Strings, TileFeatures
from wsi_embed.util.text import names_of

Float32 = npt.NDArray[np.float32]
# With fewer groups of a class the intervals are too narrow: in simulations they held the true value in 92 to
# 95 % of the cases with ten groups of the rarest class, and in 87 to 89 % with four.
FEW_GROUPS = 10


def cross_validate(
    found: Mapping[str, TileFeatures],
    folds: Folds,
    *,
    k: int = 1,
    probe: bool = False,
    resamples: int = RESAMPLES,
    progress: Progress | None = None,
) -> CrossValidation:
    """Compare kinds of features by classifiers that are trained and tested on the same folds.

    The classifiers are the nearest neighbour by cosine and a ridge classifier.

    Args:
        found: Features of the tiles of `folds`, by name.
        folds: Folds of the tiles.
        k: Number of neighbours of a further classifier, if more than 1.
        probe: Whether to fit a logistic regression as well, which takes minutes.
        resamples: Number of resamples of the bootstrap.
        progress: Function called after each fold with the name of the step, 1, and the number of folds.

    Raises:
        UsageError: If features are of other tiles or not finite, or a fold cannot be evaluated.
    """
    notes = check_folds(folds, k=k, probe=probe)
    _check_features(found, folds)
    tiles, classifiers = folds.tiles, _classifiers(k, probe, folds.seed)
    predicted: Predicted = {(kind, name): tiles.labels.copy() for kind in classifiers for name in found}
    for name, each in found.items():
        rows = np.asarray(each.features, np.float32)
        for train, test in folds:
            fit = _Train(rows[train], tiles.labels[train], tiles.groups[train])
            for kind, classify in classifiers.items():
                predicted[kind, name][test] = classify(fit, rows[test])
            if progress:
                progress(f"{name}: folds", 1, folds.count)
    seen = {name: each.seen for name, each in found.items()}
    notes += [note for each in found.values() for note in each.notes]
    return scored(folds, predicted, resamples=resamples, seen=seen, notes=notes)


def check_folds(folds: Folds, *, k: int = 1, probe: bool = False) -> list[str]:
    """Check that all classifiers can be fitted on every fold.

    Args:
        folds: The folds.
        k: Number of neighbours.
        probe: Whether a logistic regression will be fitted.

    Returns:
        Notes on the interpretation of the results, one line each.

    Raises:
        UsageError: If a fold has fewer than `k` training tiles, or too few groups for a logistic regression.
    """
    notes, tiles = folds.check(k), folds.tiles
    for train, _ in folds if probe else ():
        validation_part(tiles.labels[train], tiles.groups[train], folds.seed)
    few = [
        str(name)
        for name in np.unique(tiles.labels)
        if len(np.unique(tiles.groups[tiles.labels == name])) < FEW_GROUPS
    ]
    if few:
        notes.append(f"fewer than {FEW_GROUPS} groups of {names_of(few)}: the intervals are too narrow")
    return notes


@dataclass(frozen=True)
class _Train:
    """Features, labels and groups of training tiles."""

    features: Float32
    labels: Strings
    groups: Strings


_Classify = Callable[[_Train, Float32], list[str]]


def _classifiers(k: int, probe: bool, seed: int) -> dict[str, _Classify]:
    def neighbours(count: int) -> _Classify:
        return lambda train, test: classify_by_neighbours(train.features, train.labels.tolist(), test, count)

    def ridge(train: _Train, test: Float32) -> list[str]:
        return [str(name) for name in fit_ridge(train.features, train.labels.tolist()).predict(test)]

    def logistic(train: _Train, test: Float32) -> list[str]:
        return fit_probe(train.features, train.labels.tolist(), train.groups.tolist(), seed).predict(test)

    made = {f"{count}-NN": neighbours(count) for count in sorted({1, k})} | {"ridge": ridge}
    return made | ({"logistic": logistic} if probe else {})


def _check_features(found: Mapping[str, TileFeatures], folds: Folds) -> None:
    for name, each in found.items():
        if each.tiles.names != folds.tiles.names:
            raise UsageError("the features are not those of the tiles of the folds", where=name)
        try:
            each.check_finite()
        except UsageError as error:
            raise error.at(name) from None
