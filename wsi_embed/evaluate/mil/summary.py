"""Summaries of the predictions of folds: figures of a fold, intervals of scores, scores over all seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_embed.evaluate.interval import Interval
from wsi_embed.evaluate.mil.folds import Index
from wsi_embed.evaluate.mil.scores import bootstrap_intervals, fold_interval
from wsi_embed.evaluate.mil.settings import Predictions
from wsi_embed.evaluate.mil.tasks import Classification, Task
from wsi_embed.evaluate.scores import Scores, score


def averaged(predictions: list[Predictions], bags: int) -> tuple[Index, npt.NDArray[np.float64]]:
    """Return the numbers of the tested bags, and their outputs averaged over seeds, [tested, outputs]."""
    numbers = tested(predictions)
    outputs = np.concatenate([found.outputs for found in predictions])
    sums = np.zeros((bags, outputs.shape[1]))
    np.add.at(sums, numbers, outputs)
    there, counts = np.unique(numbers, return_counts=True)
    return there, sums[there] / counts[:, None]


def overall_scores(predictions: list[Predictions], task: Task) -> Scores | None:
    """Score the classes predicted by the averaged probabilities; None if the task has no classes."""
    if not isinstance(task, Classification):
        return None
    numbers, means = averaged(predictions, len(task.bags))
    names = np.array(task.outputs)
    return score(names[task.bags.targets[numbers]].tolist(), names[means.argmax(1)].tolist())


def tested(predictions: list[Predictions]) -> Index:
    """Return the numbers of the test bags of all folds, in their order."""
    return np.concatenate([found.fold.test for found in predictions])


def fold_figures(found: Predictions, task: Task) -> dict[str, Any]:
    """Return the sizes and the scores of a fold as plain values."""
    fold = found.fold
    return {
        "seed": fold.seed,
        "fold": fold.number,
        "train": len(fold.train),
        "validation": len(fold.validation),
        "test": len(fold.test),
        "epoch": found.epoch,
        f"validation_{task.main}": found.validation,
        **task.scores(fold.test, found.outputs),
    }


def score_intervals(
    predictions: list[Predictions], figures: list[dict[str, Any]], task: Task
) -> tuple[dict[str, Interval], str]:
    """Compute confidence intervals of the scores, and describe them.

    They are over folds, or over bootstraps of the test bags if there is a single fold.
    """
    if any(found.fold.number > 0 for found in predictions):
        learned = np.mean([row["train"] + row["validation"] for row in figures])
        share = float(np.mean([row["test"] for row in figures]) / learned)
        names = task.scores(predictions[0].fold.test, predictions[0].outputs)
        spread = {
            name: fold_interval([row[name] for row in figures], share, task.bounds(name)) for name in names
        }
        return spread, "95 % t interval over folds, variance corrected for their overlap (Nadeau and Bengio)"
    test = predictions[0].fold.test

    def mean_scores(drawn: npt.NDArray[np.int64]) -> dict[str, float]:
        each = [task.scores(test[drawn], found.outputs[drawn]) for found in predictions]
        return {name: float(np.mean([scores[name] for scores in each])) for name in each[0]}

    spread = bootstrap_intervals(mean_scores, task.resampled()[test])
    return spread, "95 % percentile interval of 1,000 bootstraps of the test bags"
