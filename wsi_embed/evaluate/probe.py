"""Linear classifiers on features, a test of their linear separability."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from wsi_embed.errors import UsageError
from wsi_embed.evaluate.scores import score
from wsi_embed.util.text import names_of

Float = npt.NDArray[np.floating]
# Values of C, the inverse strength of the regularisation, the strongest first.
STRENGTHS = tuple(10.0**power for power in range(-4, 3))
# Regularisation of the ridge classifier, the weakest first.
ALPHAS = np.logspace(-2, 5, 15)
# The value of C is chosen on one of this many parts of the training features.
PARTS = 5


@dataclass(frozen=True)
class Probe:
    """A fitted probe.

    Attributes:
        model: Pipeline that standardises and classifies features.
        strength: C, the inverse strength of the regularisation.
    """

    model: Pipeline
    strength: float

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of `probabilities`."""
        return [str(name) for name in self.model.classes_]

    def predict(self, features: Float) -> list[str]:
        """Return the most likely class of each row."""
        return [str(name) for name in self.model.predict(np.asarray(features, np.float32))]

    def probabilities(self, features: Float) -> npt.NDArray[np.float64]:
        """Return the probability of each class, float64 [N, classes]."""
        return np.asarray(self.model.predict_proba(np.asarray(features, np.float32)), np.float64)


def fit_probe(features: Float, labels: Sequence[str], groups: Sequence[str], seed: int = 0) -> Probe:
    """Fit a logistic regression with balanced class weights.

    The regularisation is chosen by balanced accuracy on a fifth of the rows that shares no group with the
    others; of equally good values the strongest is taken. The final model is fitted on all rows.

    Args:
        features: Float [N, D].
        labels: N labels.
        groups: N names of groups (patients, slides); rows with an empty name form their own group.
        seed: Seed of the choice of that fifth.

    Raises:
        UsageError: If a class has fewer than two groups.
    """
    rows, names = np.asarray(features, np.float32), np.asarray(labels)
    fit, held = validation_part(names, _alone(groups), seed)
    tried = [Probe(_fitted(rows[fit], names[fit], strength), strength) for strength in STRENGTHS]
    truth = names[held].tolist()
    scores = [score(truth, probe.predict(rows[held])).balanced_accuracy for probe in tried]
    strength = STRENGTHS[int(np.argmax(scores))]
    return Probe(_fitted(rows, names, strength), strength)


def fit_ridge(features: Float, labels: Sequence[str]) -> Pipeline:
    """Fit a ridge classifier with balanced class weights on standardised features.

    It is least squares on the class indicators, whose regularisation is chosen by the leave-one-out error.
    There is no iteration, so it takes seconds where a logistic regression takes minutes.

    Args:
        features: Float [N, D].
        labels: N labels.
    """
    ridge = RidgeClassifierCV(alphas=ALPHAS, class_weight="balanced")
    return make_pipeline(StandardScaler(), ridge).fit(np.asarray(features, np.float64), np.asarray(labels))


def _fitted(features: Float, labels: npt.NDArray[np.str_], strength: float) -> Pipeline:
    regression = LogisticRegression(C=strength, class_weight="balanced", max_iter=1000)
    model = make_pipeline(StandardScaler(), regression)
    with warnings.catch_warnings():
        # with weak regularisation and separable classes only the norm of the weights does not converge
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(features, labels)


def _alone(groups: Sequence[str]) -> npt.NDArray[np.str_]:
    """Return groups in which each row without a name has its own group."""
    return np.array([group or f"\0{number}" for number, group in enumerate(groups)])


def validation_part(
    labels: npt.NDArray[np.str_], groups: npt.NDArray[np.str_], seed: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Split rows into those to fit, with all classes, and those to choose the regularisation by."""
    classes = np.unique(labels)
    fewest = {str(name): len(np.unique(groups[labels == name])) for name in classes}
    if rare := [name for name, count in fewest.items() if count < 2]:
        raise UsageError(
            "to choose the regularisation two groups (patients, slides) of each class are needed "
            f"in train, but {names_of(rare)} has only one",
            remedy="add some, or go on without `probe=True`",
        )
    parts = StratifiedGroupKFold(min(PARTS, *fewest.values()), shuffle=True, random_state=seed)
    for fit, held in parts.split(labels, labels, groups):
        if len(np.unique(labels[fit])) == len(classes):
            return fit, held
    raise UsageError(
        "train has too few groups (patients, slides) to choose the regularisation", remedy="add some"
    )
