"""Scores of bags, and how sure they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata
from scipy.stats import t as student

Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]
LEVEL = 0.95
RESAMPLES = 1000


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % confidence interval; without one where nothing can be said."""

    mean: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.mean:.3f}"
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f})"


def class_aucs(targets: Int, probabilities: Float) -> Float:
    """Area under the ROC curve of each class against the others, float64 [classes].

    By ranks, as the Mann-Whitney statistic. NaN for a class that no bag has, or every.
    """
    ranks = rankdata(probabilities, axis=0)
    found = np.full(probabilities.shape[1], np.nan)
    for number in range(len(found)):
        of = targets == number
        here, others = int(of.sum()), int((~of).sum())
        if here and others:
            found[number] = (ranks[of, number].sum() - here * (here + 1) / 2) / (here * others)
    return found


def macro_auc(targets: Int, probabilities: Float) -> float:
    """Mean of the classes' AUCs, those that have one; NaN where none has."""
    aucs = class_aucs(targets, probabilities)
    return float(np.nanmean(aucs)) if not np.isnan(aucs).all() else math.nan


def bag_scores(targets: Int, probabilities: Float, classes: Sequence[str]) -> dict[str, float]:
    """Accuracy, balanced accuracy, macro AUC and the AUC of each class. A bag is of its likeliest class."""
    right = probabilities.argmax(1) == targets
    recalls = [right[targets == number].mean() for number in np.unique(targets)]
    aucs = dict(zip(classes, class_aucs(targets, probabilities).tolist(), strict=True))
    return {
        "accuracy": float(right.mean()),
        "balanced_accuracy": float(np.mean(recalls)),
        "auc": macro_auc(targets, probabilities),
        **{f"auc {name}": value for name, value in aucs.items()},
    }


def fold_interval(values: Sequence[float], test_share: float) -> Interval:
    """Mean over folds with a t interval whose variance is corrected for their overlap.

    Folds learn from the same bags, so their scores vary less than those of new data would. Nadeau and
    Bengio, "Inference for the Generalization Error", Machine Learning 52, 2003; for repeated folds Bouckaert
    and Frank, PAKDD 2004: the variance of the mean of n scores is (1/n + tested/learned) times theirs.

    Args:
        values: Of each fold of each repetition; NaN where it has none.
        test_share: Bags that are tested by bags that are learned from.
    """
    there = np.array([value for value in values if not math.isnan(value)])
    if len(there) < 2:
        return Interval(float(there.mean()) if len(there) else math.nan)
    spread = there.std(ddof=1) * math.sqrt(1 / len(there) + test_share)
    return _interval(float(there.mean()), spread * float(student.ppf((1 + LEVEL) / 2, len(there) - 1)))


def _interval(mean: float, half: float) -> Interval:
    return Interval(mean, max(0.0, mean - half), min(1.0, mean + half))


def bootstrap_intervals(
    score: Callable[[Int], Mapping[str, float]], targets: Int, seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, Interval]:
    """Scores of one test set with percentile intervals over bags drawn again, class by class.

    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.

    Args:
        score: Scores of the bags at some positions, by name.
        targets: Class of each bag: as many of each are drawn as there are.
        seed: Of the draw.
        resamples: How many.
    """
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(targets == number) for number in np.unique(targets)]
    drawn = [
        score(np.concatenate([rng.choice(group, len(group)) for group in groups])) for _ in range(resamples)
    ]
    found = {}
    for name, mean in score(np.arange(len(targets))).items():
        ends = np.quantile([scores[name] for scores in drawn], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        found[name] = Interval(mean) if math.isnan(mean) else Interval(mean, float(ends[0]), float(ends[1]))
    return found
