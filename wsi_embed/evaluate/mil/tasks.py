"""Tasks on bags: classification, survival and regression. Each knows its folds' strata and its scores."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from wsi_embed.bags.labels import LabelledBags
from wsi_embed.errors import UsageError
from wsi_embed.evaluate.mil.concordance import concordance_index
from wsi_embed.evaluate.mil.folds import Fold, Index, Strata, class_strata
from wsi_embed.evaluate.mil.regression_scores import regression_scores
from wsi_embed.evaluate.mil.scores import bag_scores
from wsi_embed.util.text import counted

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Task(abc.ABC):
    """Prediction of the labels of bags.

    Attributes:
        bags: The labelled bags.
    """

    bags: LabelledBags

    name: ClassVar[str]
    """Name of the task."""
    main: ClassVar[str]
    """Name of the score that is shown for each fold, and by which the best epoch is chosen."""

    @property
    @abc.abstractmethod
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs of a model: the classes, or one number."""

    @abc.abstractmethod
    def strata(self) -> Strata:
        """Return the groups of bags that are spread evenly over the folds."""

    def resampled(self) -> npt.NDArray[np.int64]:
        """Return the group of each bag within which bootstraps draw, int64 [bags]."""
        return self.strata().numbers

    @abc.abstractmethod
    def scores(self, numbers: Index, outputs: Float) -> dict[str, float]:
        """Score outputs, float64 [n, outputs], of the bags with the given numbers; NaN if undefined."""

    def bounds(self, score: str) -> tuple[float, float]:
        """Return the lowest and the highest possible value of a score."""
        return 0.0, 1.0

    @abc.abstractmethod
    def counts(self) -> dict[str, float]:
        """Return the numbers that describe the labels: bags of each class, events, or the range."""

    def check(self, fold: Fold) -> None:  # noqa: B027  # any fold serves, unless a task says otherwise
        """Check that a fold can be trained.

        Raises:
            UsageError: If its training or validation bags say nothing about the target.
        """


class Classification(Task):
    """Prediction of a class."""

    name = "classification"
    main = "auc"

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.bags.classes

    def strata(self) -> Strata:
        """Return the classes."""
        return class_strata(self.bags)

    def scores(self, numbers: Index, outputs: Float) -> dict[str, float]:
        """Return accuracies and areas under the ROC curve."""
        return bag_scores(self.bags.targets[numbers], outputs, self.bags.classes)

    def counts(self) -> dict[str, float]:
        """Count the bags of each class."""
        targets = self.bags.targets
        return {name: int((targets == n).sum()) for n, name in enumerate(self.bags.classes)}


class Survival(Task):
    """Prediction of a risk: the higher, the earlier the event."""

    name = "survival"
    main = "concordance"

    @property
    def outputs(self) -> tuple[str, ...]:
        """Name of the risk, a log hazard ratio."""
        return ("risk",)

    def strata(self) -> Strata:
        """Return the bags without and with an event."""
        there, numbers = np.unique(self.bags.values[:, 1], return_inverse=True)
        return Strata(numbers, tuple(f"{self.bags.columns[1]} {value:.0f}" for value in there))

    def scores(self, numbers: Index, outputs: Float) -> dict[str, float]:
        """Return the concordance index."""
        times, events = self.bags.values[numbers].T
        return {"concordance": concordance_index(times, events, outputs[:, 0])}

    def counts(self) -> dict[str, float]:
        """Count the events and the censored times."""
        events = int(self.bags.values[:, 1].sum())
        return {"events": events, "censored": len(self.bags) - events}

    def check(self, fold: Fold) -> None:
        """Check that there are events to learn from, to decide when to stop, and to test."""
        events = self.bags.values[:, 1]
        for part, side in (("training", fold.train), ("validation", fold.validation), ("test", fold.test)):
            if not events[side].any():
                raise UsageError(
                    f"no event among the {counted(len(side), f'{part} bag')} of fold {fold.number}",
                    remedy="give other folds, or draw them with `folds=`",
                )


class Regression(Task):
    """Prediction of a number."""

    name = "regression"
    main = "r2"

    @property
    def outputs(self) -> tuple[str, ...]:
        """Name of the number, the column of the table."""
        return self.bags.columns

    def strata(self) -> Strata:
        """Return the lower and the upper half of the targets."""
        rank = np.argsort(np.argsort(self.bags.values[:, 0], kind="stable"))
        names = (f"the {half} half of {self.bags.columns[0]}" for half in ("lower", "upper"))
        return Strata((2 * rank >= len(rank)).astype(np.int64), tuple(names))

    def scores(self, numbers: Index, outputs: Float) -> dict[str, float]:
        """Return R2, correlations and the mean absolute error."""
        return regression_scores(self.bags.values[numbers, 0], outputs[:, 0])

    def resampled(self) -> npt.NDArray[np.int64]:
        """Return one group, because halves would keep the spread of the targets the same."""
        return np.zeros(len(self.bags), np.int64)

    def bounds(self, score: str) -> tuple[float, float]:
        """Return the limits of R2, a correlation, or an error."""
        return {"r2": (-math.inf, 1.0), "mae": (0.0, math.inf)}.get(score, (-1.0, 1.0))

    def counts(self) -> dict[str, float]:
        """Return the lowest and the highest target, and their mean."""
        values = self.bags.values[:, 0]
        return {"lowest": float(values.min()), "mean": float(values.mean()), "highest": float(values.max())}

    def check(self, fold: Fold) -> None:
        """Check that the training targets are not all equal."""
        values = self.bags.values[fold.train, 0]
        if np.ptp(values) == 0:
            raise UsageError(
                f"all {counted(len(values), 'training bag')} of fold {fold.number} have the "
                f"{self.bags.columns[0]} {values[0]:g}: there is nothing to learn",
                remedy="give other folds, or draw them with `folds=`",
            )


TASKS: dict[str, type[Task]] = {kind.name: kind for kind in (Classification, Survival, Regression)}


def task_of(bags: LabelledBags) -> Task:
    """Return the task of labelled bags: by classes, times and events, or one number."""
    return (Classification, Regression, Survival)[len(bags.columns)](bags)


def described(counts: dict[str, Any]) -> str:
    """Return the counts of a task for people: `12 a, 12 b`, or `lowest 3, mean 4.5, highest 7`."""
    if counts.keys() == {"lowest", "mean", "highest"}:
        return ", ".join(f"{name} {value:.4g}" for name, value in counts.items())
    return ", ".join(f"{value} {name}" for name, value in counts.items())
