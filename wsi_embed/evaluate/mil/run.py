"""Evaluation of a multiple-instance method on the bags of a store."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_embed.bags.damage import left_out
from wsi_embed.bags.labels import LabelledBags
from wsi_embed.errors import StoreError
from wsi_embed.evaluate.interval import Interval, spread_notes
from wsi_embed.evaluate.mil.bags import GIB, BagFeatures
from wsi_embed.evaluate.mil.folds import Fold, make_folds, unused
from wsi_embed.evaluate.mil.scores import bag_scores, bootstrap_intervals, fold_interval
from wsi_embed.evaluate.mil.settings import LINEAR, MilSettings, Predictions
from wsi_embed.evaluate.scores import Scores, score
from wsi_embed.evaluate.seen import seen_in_training
from wsi_embed.store import Store

Classify = Callable[[Fold], Predictions]
OnFold = Callable[[int, int, dict[str, Any]], None]


@dataclass
class MilEvaluation:
    """Result of `evaluate_mil`.

    Attributes:
        settings: Settings of the method.
        bags: The evaluated bags.
        predictions: Predictions of every fold of every seed.
        folds: Figures of every fold as plain values, in the same order.
        intervals: Mean and confidence interval of each score.
        interval_method: Description of the confidence intervals.
        overall: Scores of the probabilities averaged over the seeds.
        seen: Slides of the bags that the encoder was trained on; None if unknown.
        notes: Notes on the interpretation of the results.
    """

    settings: MilSettings
    bags: LabelledBags
    predictions: list[Predictions]
    folds: list[dict[str, Any]]
    intervals: dict[str, Interval]
    interval_method: str
    overall: Scores
    seen: dict[str, Any] | None
    notes: list[str] = field(default_factory=list)

    @property
    def seeds(self) -> int:
        """Number of repetitions."""
        return len({found.fold.seed for found in self.predictions})

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain values for JSON."""
        return {
            "settings": self.settings.to_dict(),
            "by": self.bags.by,
            "bags": len(self.bags),
            "classes": class_counts(self.bags),
            "seeds": self.seeds,
            "scores": {name: _plain(vars(interval)) for name, interval in self.intervals.items()},
            "intervals": self.interval_method,
            "overall": self.overall.to_dict(),
            "folds": [_plain(row) for row in self.folds],
            "seen_in_training": self.seen,
            "notes": self.notes,
        }


def evaluate_mil(
    store: Store,
    bags: LabelledBags,
    settings: MilSettings,
    *,
    folds: int | None = None,
    seeds: int = 1,
    memory: int = 8 * GIB,
    on_fold: OnFold | None = None,
) -> MilEvaluation:
    """Train and test a method on folds of bags; see `make_folds`.

    Args:
        store: Store with the features.
        bags: The labelled bags.
        settings: Settings of the method.
        folds: Number of folds to draw; None uses the table of the labels if possible.
        seeds: Number of repetitions, each with other random folds.
        memory: Maximum size of the features in memory, bytes.
        on_fold: Function called after every fold with its number (from 1), the number of folds, and its
            figures.

    Raises:
        UsageError: If there are too few patients, or the method needs clusters and the store has none.
        StoreError: If a bag is damaged, or a feature is not finite.
        DeviceError: If the device is not available.

    Example:
        >>> from wsi_embed import join_labels, open_store
        >>> from wsi_embed.evaluate.mil.run import evaluate_mil
        >>> from wsi_embed.evaluate.mil.settings import MilSettings
        >>> store = open_store("cohort.zarr")
        >>> labels = dict(zip("abcdef", ["tumour"] * 3 + ["normal"] * 3))
        >>> found = evaluate_mil(store, join_labels(store, labels), MilSettings("mean"), folds=3)
        >>> len(found.predictions)
        3
    """
    bags = _sound(store, bags)
    planned = make_folds(bags, folds, seeds)
    classify = _classifier(store, bags, settings, memory)
    predictions, figures = [], []
    for number, fold in enumerate(planned, start=1):
        found = classify(fold)
        predictions.append(found)
        figures.append(_figures(found, bags))
        if on_fold:
            on_fold(number, len(planned), figures[-1])
    intervals, how = _intervals(predictions, figures, bags)
    truth, means = averaged(predictions, bags)
    names = np.array(bags.classes)
    overall = score(names[truth].tolist(), names[means.argmax(1)].tolist())
    tested = {slide_id for n in np.unique(_tested(predictions)) for slide_id in bags[int(n)].slides}
    seen, notes = seen_in_training(store.attrs["model"], tested)
    return MilEvaluation(
        settings, bags, predictions, figures, intervals, how, overall, seen,
        [*bags.notes, *unused(bags, planned), *spread_notes(intervals.values()), *notes],
    )  # fmt: skip


def _sound(store: Store, bags: LabelledBags) -> LabelledBags:
    """Leave out the bags that cannot be opened because they are damaged, with a note on each."""
    kept, notes = [], []
    for index, bag in enumerate(bags):
        try:
            bags.open(store, index)
            kept.append(bag)
        except StoreError as error:
            notes.append(left_out(bag.id, error))
    if not kept:
        raise StoreError(notes[0], where=store.name)
    return replace(bags, bags=tuple(kept), notes=(*bags.notes, *notes)) if notes else bags


def averaged(
    predictions: list[Predictions], bags: LabelledBags
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the class of each tested bag, and its probabilities averaged over seeds, [tested, classes]."""
    numbers = _tested(predictions)
    sums = np.zeros((len(bags), len(bags.classes)))
    np.add.at(sums, numbers, np.concatenate([found.probabilities for found in predictions]))
    there, counts = np.unique(numbers, return_counts=True)
    return bags.targets[there], sums[there] / counts[:, None]


def class_counts(bags: LabelledBags) -> dict[str, int]:
    """Count the bags of each class."""
    return {name: int((bags.targets == n).sum()) for n, name in enumerate(bags.classes)}


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Replace NaN (the AUC of a class that a fold does not test) by None, as JSON has no NaN."""
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in values.items()
    }


def _classifier(store: Store, bags: LabelledBags, settings: MilSettings, memory: int) -> Classify:
    """Return the function that predicts a fold. PyTorch and features are only loaded if it needs them."""
    targets, classes = bags.targets, len(bags.classes)
    if settings.method in LINEAR:
        from wsi_embed.evaluate.mil.linear import classify_fold

        vectors = LINEAR.get(settings.method)(store, bags)
        return lambda fold: classify_fold(vectors, bags, fold)
    from wsi_embed.evaluate.mil.fit import fit_fold

    features = BagFeatures(store, bags, memory)
    return lambda fold: fit_fold(features, targets, classes, fold, settings)


def _tested(predictions: list[Predictions]) -> npt.NDArray[np.intp]:
    return np.concatenate([found.fold.test for found in predictions])


def _figures(found: Predictions, bags: LabelledBags) -> dict[str, Any]:
    fold = found.fold
    return {
        "seed": fold.seed,
        "fold": fold.number,
        "train": len(fold.train),
        "validation": len(fold.validation),
        "test": len(fold.test),
        "epoch": found.epoch,
        "validation_auc": found.validation_auc,
        **bag_scores(bags.targets[fold.test], found.probabilities, bags.classes),
    }


def _intervals(
    predictions: list[Predictions], figures: list[dict[str, Any]], bags: LabelledBags
) -> tuple[dict[str, Interval], str]:
    """Compute confidence intervals of the scores, and describe them.

    They are over folds, or over bootstraps of the test bags if there is a single fold.
    """
    if any(found.fold.number > 0 for found in predictions):
        learned = np.mean([row["train"] + row["validation"] for row in figures])
        share = float(np.mean([row["test"] for row in figures]) / learned)
        names = ["accuracy", "balanced_accuracy", "auc", *(f"auc {name}" for name in bags.classes)]
        spread = {name: fold_interval([row[name] for row in figures], share) for name in names}
        return spread, "95 % t interval over folds, variance corrected for their overlap (Nadeau and Bengio)"
    targets = bags.targets[predictions[0].fold.test]

    def mean_scores(drawn: npt.NDArray[np.int64]) -> dict[str, float]:
        each = [bag_scores(targets[drawn], f.probabilities[drawn], bags.classes) for f in predictions]
        return {name: float(np.mean([scores[name] for scores in each])) for name in each[0]}

    spread = bootstrap_intervals(mean_scores, targets)
    return spread, "95 % percentile interval of 1,000 bootstraps of the test bags"
