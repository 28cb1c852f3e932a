"""Scores of predicted numbers."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Float = npt.NDArray[np.float64]


def regression_scores(targets: Float, predicted: Float) -> dict[str, float]:
    """Return R2, the correlations of Pearson and Spearman, and the mean absolute error.

    Args:
        targets: True values, float64 [bags].
        predicted: Predicted values, float64 [bags].

    Returns:
        `r2` (1 if all are right, 0 for the mean of these targets, negative if worse), `pearson`, `spearman`
        (NaN if one side is constant, and all three if the targets are), and `mae` in the unit of the targets.
    """
    return {
        "r2": r2(targets, predicted),
        "pearson": _correlation(targets, predicted),
        "spearman": _correlation(rankdata(targets), rankdata(predicted)),
        "mae": float(np.abs(targets - predicted).mean()),
    }


def r2(targets: Float, predicted: Float) -> float:
    """Return the coefficient of determination; NaN if the targets are constant."""
    spread = float(np.square(targets - targets.mean()).sum())
    return 1 - float(np.square(targets - predicted).sum()) / spread if spread > 0 else math.nan


def _correlation(a: Float, b: Float) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = math.sqrt(float(np.square(a).sum()) * float(np.square(b).sum()))
    return float((a * b).sum()) / size if size > 0 else math.nan
