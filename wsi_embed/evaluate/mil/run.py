"""Evaluation of a multiple-instance method on the bags of a store."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from wsi_embed.bags.damage import left_out
from wsi_embed.bags.labels import LabelledBags
from wsi_embed.errors import StoreError, UsageError
from wsi_embed.evaluate.interval import Interval, spread_notes
from wsi_embed.evaluate.mil.bags import GIB, BagFeatures
from wsi_embed.evaluate.mil.folds import Fold, make_folds, unused
from wsi_embed.evaluate.mil.settings import CLASSES_ONLY, LINEAR, LOSSES, MilSettings, Predictions
from wsi_embed.evaluate.mil.summary import fold_figures, overall_scores, score_intervals, tested
from wsi_embed.evaluate.mil.tasks import Classification, Regression, Task, task_of
from wsi_embed.evaluate.scores import Scores
from wsi_embed.evaluate.seen import seen_in_training
from wsi_embed.store import Store
from wsi_embed.util.text import argument

Predict = Callable[[Fold], Predictions]
OnFold = Callable[[int, int, dict[str, Any]], None]


@dataclass
class MilEvaluation:
    """Result of `evaluate_mil`.

    Attributes:
        settings: Settings of the method.
        task: The task, with the evaluated bags.
        predictions: Predictions of every fold of every seed.
        folds: Figures of every fold as plain values, in the same order.
        intervals: Mean and confidence interval of each score.
        interval_method: Description of the confidence intervals.
        overall: Scores of the probabilities averaged over the seeds; None if the task has no classes.
        seen: Slides of the bags that the encoder was trained on; None if unknown.
        notes: Notes on the interpretation of the results.
    """

    settings: MilSettings
    task: Task
    predictions: list[Predictions]
    folds: list[dict[str, Any]]
    intervals: dict[str, Interval]
    interval_method: str
    overall: Scores | None
    seen: dict[str, Any] | None
    notes: list[str] = field(default_factory=list)

    @property
    def bags(self) -> LabelledBags:
        """The evaluated bags."""
        return self.task.bags

    @property
    def seeds(self) -> int:
        """Number of repetitions."""
        return len({found.fold.seed for found in self.predictions})

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain values for JSON."""
        return {
            "task": self.task.name,
            "settings": self.settings.to_dict(),
            "by": self.bags.by,
            "bags": len(self.bags),
            "classes" if self.overall else "targets": self.task.counts(),
            "seeds": self.seeds,
            "scores": {name: _plain(vars(interval)) for name, interval in self.intervals.items()},
            "intervals": self.interval_method,
            "overall": self.overall.to_dict() if self.overall else None,
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
        bags: The bags, with classes (`join_labels`), times and events (`join_survival`) or numbers
            (`join_values`).
        settings: Settings of the method.
        folds: Number of folds to draw; None uses the table of the labels if possible.
        seeds: Number of repetitions, each with other random folds.
        memory: Maximum size of the features in memory, bytes.
        on_fold: Function called after every fold with its number (from 1), the number of folds, and its
            figures.

    Raises:
        UsageError: If there are too few patients, the method does not serve the task, it needs clusters and
            the store has none, or a fold has no event or constant targets.
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
    task = task_of(_sound(store, bags))
    check_method(settings, task)
    planned = make_folds(task.bags, folds, seeds, task.strata())
    for fold in planned:
        task.check(fold)
    predict = _predictor(store, task, settings, memory)
    predictions, figures = [], []
    for number, fold in enumerate(planned, start=1):
        found = predict(fold)
        predictions.append(found)
        figures.append(fold_figures(found, task))
        if on_fold:
            on_fold(number, len(planned), figures[-1])
    intervals, how = score_intervals(predictions, figures, task)
    slides = {slide_id for n in np.unique(tested(predictions)) for slide_id in task.bags[int(n)].slides}
    seen, notes = seen_in_training(store.attrs["model"], slides)
    return MilEvaluation(
        settings, task, predictions, figures, intervals, how, overall_scores(predictions, task), seen,
        [*task.bags.notes, *unused(task.bags, planned), *spread_notes(intervals.values()), *notes],
    )  # fmt: skip


def check_method(settings: MilSettings, task: Task) -> None:
    """Check that a method serves a task.

    Raises:
        UsageError: If it needs classes and there are none, or a loss was chosen that the task does not have.
    """
    if settings.method in CLASSES_ONLY and not isinstance(task, Classification):
        raise UsageError(
            f"{argument('method', settings.method)} needs classes, which {task.name} does not have",
            remedy="use dsmil, abmil, transmil, mean or cluster-histogram",
        )
    if settings.loss != LOSSES[0] and not isinstance(task, Regression):
        raise UsageError(f"{argument('loss', settings.loss)} is for regression, and this is {task.name}")


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


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Replace NaN (the AUC of a class that a fold does not test) by None, as JSON has no NaN."""
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in values.items()
    }


def _predictor(store: Store, task: Task, settings: MilSettings, memory: int) -> Predict:
    """Return the function that predicts a fold. PyTorch and features are only loaded if it needs them."""
    if settings.method in LINEAR:
        vectors = LINEAR.get(settings.method)(store, task.bags)
        if isinstance(task, Classification):
            from wsi_embed.evaluate.mil.linear import classify_fold

            return lambda fold: classify_fold(vectors, task.bags, fold)
        from wsi_embed.evaluate.mil.linear_numbers import predict_numbers

        return lambda fold: predict_numbers(vectors, task, fold, settings)
    from wsi_embed.evaluate.mil.fit import fit_fold

    features = BagFeatures(store, task.bags, memory)
    return lambda fold: fit_fold(features, task, fold, settings)
