from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

from wsi_embed.evaluate.interval import Interval
from wsi_embed.evaluate.mil.scores import (
    bag_scores,
    bootstrap_intervals,
    class_aucs,
    fold_interval,
    macro_auc,
)

NAMES = ("x", "y", "z")
rows = st.lists(
    st.tuples(st.integers(0, 2), *[st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9])] * 3), min_size=1, max_size=30
)


@settings(max_examples=30)
@given(rows)
def test_scores_are_scikit_learns(given_rows: list[tuple[int, float, float, float]]) -> None:
    targets = np.array([row[0] for row in given_rows])
    probabilities = np.array([row[1:] for row in given_rows])
    found = bag_scores(targets, probabilities, NAMES)
    predicted = probabilities.argmax(1)
    assert found["accuracy"] == pytest.approx(accuracy_score(targets, predicted))
    recalls = [np.mean(predicted[targets == n] == n) for n in np.unique(targets)]
    assert found["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    aucs = []
    for number, name in enumerate(NAMES):
        of = targets == number
        if of.all() or not of.any():
            assert math.isnan(found[f"auc {name}"])
            continue
        aucs.append(roc_auc_score(of, probabilities[:, number]))
        assert found[f"auc {name}"] == pytest.approx(aucs[-1])
    assert found["auc"] == pytest.approx(np.mean(aucs)) if aucs else math.isnan(found["auc"])


def test_balanced_accuracy_by_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    targets, probabilities = rng.integers(0, 3, 50), rng.random((50, 3))
    expected = balanced_accuracy_score(targets, probabilities.argmax(1))
    assert bag_scores(targets, probabilities, NAMES)["balanced_accuracy"] == pytest.approx(expected)


def test_no_auc_of_one_class() -> None:
    assert np.isnan(class_aucs(np.zeros(3, np.int64), np.random.default_rng(0).random((3, 2)))).all()
    assert math.isnan(macro_auc(np.zeros(3, np.int64), np.zeros((3, 2))))


def test_the_corrected_t_interval_by_its_formula() -> None:
    values = [0.8, 0.7, 0.9, 0.85, 0.75]
    found = fold_interval(values, test_share=0.25)
    spread = math.sqrt((1 / 5 + 0.25) * np.var(values, ddof=1))
    low, high = stats.t.interval(0.95, 4, loc=0.8, scale=spread)
    assert [found.mean, found.low, found.high] == pytest.approx([0.8, low, high])
    # wider than what forgets that the folds share what they learn from
    plain = stats.t.interval(0.95, 4, loc=0.8, scale=stats.sem(values))
    assert found.low is not None
    assert found.low < plain[0]


def test_an_interval_stays_where_scores_can_be_and_says_nothing_of_one() -> None:
    assert fold_interval([0.9, 1.0], 0.25).high == 1.0
    assert fold_interval([0.9, math.nan], 0.25) == Interval(0.9)
    assert math.isnan(fold_interval([math.nan], 0.25).mean)
    assert [str(Interval(0.5)), str(Interval(0.5, 0.25, 0.75))] == ["0.500", "0.500 (0.250 to 0.750)"]
    assert str(Interval(1, 1, 1)) == "1.000 (no spread)"


def test_a_bootstrap_interval_is_about_the_normal_one() -> None:
    """Accuracy of 60 and 40 bags with 45 and 20 right: its standard error is known."""
    targets = np.repeat([0, 1], [60, 40])
    right = np.concatenate([np.arange(60) < 45, np.arange(40) < 20])
    found = bootstrap_intervals(lambda drawn: {"accuracy": float(right[drawn].mean())}, targets)["accuracy"]
    error = math.sqrt(60 * 0.75 * 0.25 + 40 * 0.5 * 0.5) / 100
    assert found.mean == pytest.approx(0.65)
    assert [found.low, found.high] == pytest.approx([0.65 - 1.96 * error, 0.65 + 1.96 * error], abs=0.015)


def test_a_bootstrap_keeps_the_classes_and_is_the_same_again() -> None:
    targets = np.array([0, 0, 0, 1])
    seen = []

    def mean(drawn: np.ndarray) -> dict[str, float]:
        seen.append(sorted(targets[drawn].tolist()))
        return {"x": float(drawn.mean())}

    first = bootstrap_intervals(mean, targets, resamples=20)
    assert first == bootstrap_intervals(mean, targets, resamples=20)
    assert all(classes == [0, 0, 0, 1] for classes in seen)
