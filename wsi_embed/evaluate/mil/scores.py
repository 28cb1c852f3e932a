"""Scores of bags with confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata
from scipy.stats import t as student

from wsi_embed.evaluate.interval import LEVEL, Interval, percentile_interval

Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]
RESAMPLES = 1000


def class_aucs(targets: Int, probabilities: Float) -> Float:
    """Compute the area under the ROC curve of each class against the others, float64 [classes].

    It is computed from ranks, as the Mann-Whitney statistic. It is NaN for a class of no bag or of all bags.
    """
    ranks = rankdata(probabilities, axis=0)
    found = np.full(probabilities.shape[1], np.nan)
    for number in range(len(found)):
        of = targets == number
        own, others = int(of.sum()), int((~of).sum())
        if own and others:
            found[number] = (ranks[of, number].sum() - own * (own + 1) / 2) / (own * others)
    return found


def macro_auc(targets: Int, probabilities: Float) -> float:
    """Return the mean AUC of the classes that have one; NaN if none has."""
    aucs = class_aucs(targets, probabilities)
    return float(np.nanmean(aucs)) if not np.isnan(aucs).all() else math.nan


def bag_scores(targets: Int, probabilities: Float, classes: Sequence[str]) -> dict[str, float]:
    """Return accuracy, balanced accuracy, macro AUC and the AUC of each class.

    Args:
        targets: Class of each bag, int64 [bags].
        probabilities: Probability of each class, float64 [bags, classes]. The largest is the prediction.
        classes: Names of the classes.
    """
    right = probabilities.argmax(1) == targets
    recalls = [right[targets == number].mean() for number in np.unique(targets)]
    aucs = dict(zip(classes, class_aucs(targets, probabilities).tolist(), strict=True))
    return {
        "accuracy": float(right.mean()),
        "balanced_accuracy": float(np.mean(recalls)),
        "auc": macro_auc(targets, probabilities),
        **{f"auc {name}": value for name, value in aucs.items()},
    }


def fold_interval(
    values: Sequence[float], test_share: float, bounds: tuple[float, float] = (0.0, 1.0)
) -> Interval:
    """Return the mean over folds with a t interval, its variance corrected for the overlap of folds.

    Folds share training bags, so their scores vary less than scores on independent data. The variance of the
    mean of n scores is therefore taken as (1/n + tested/trained) times the variance of the scores: Nadeau and
    Bengio, "Inference for the Generalization Error", Machine Learning 52, 2003; for repeated folds Bouckaert
    and Frank, PAKDD 2004.

    Args:
        values: Score of each fold of each repetition; NaN if a fold has none.
        test_share: Number of test bags divided by the number of training bags.
        bounds: Lowest and highest possible score, to which the interval is clipped.
    """
    valid = np.array([value for value in values if not math.isnan(value)])
    if len(valid) < 2:
        return Interval(float(valid.mean()) if len(valid) else math.nan)
    spread = valid.std(ddof=1) * math.sqrt(1 / len(valid) + test_share)
    mean, half = float(valid.mean()), spread * float(student.ppf((1 + LEVEL) / 2, len(valid) - 1))
    return Interval(mean, max(bounds[0], mean - half), min(bounds[1], mean + half))


def bootstrap_intervals(
    score: Callable[[Int], Mapping[str, float]], targets: Int, seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, Interval]:
    """Return the scores of one test set with percentile intervals of a bootstrap, stratified by class.

    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13. Resamples without a score (no
    comparable pair, constant targets) are left out.

    Args:
        score: Function from indices of bags to their scores by name.
        targets: Class or stratum of each bag, int64 [bags].
        seed: Seed of the bootstrap.
        resamples: Number of bootstrap samples.
    """
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(targets == number) for number in np.unique(targets)]
    drawn = [
        score(np.concatenate([rng.choice(group, len(group)) for group in groups])) for _ in range(resamples)
    ]
    found = {}
    for name, mean in score(np.arange(len(targets))).items():
        values = np.array([scores[name] for scores in drawn])
        values = values[~np.isnan(values)]
        none = math.isnan(mean) or not len(values)
        found[name] = Interval(mean) if none else percentile_interval(mean, values)
    return found
