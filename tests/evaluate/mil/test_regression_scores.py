from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import mean_absolute_error, r2_score

from wsi_embed.evaluate.mil.regression_scores import regression_scores

values = st.sampled_from([-3.0, 0.0, 0.5, 1.0, 4.0, 10.0])


@settings(max_examples=60)
@given(st.lists(st.tuples(values, values), min_size=3, max_size=20))
def test_scores_are_those_of_scipy_and_scikit_learn(pairs: list[tuple[float, float]]) -> None:
    truth, predicted = (np.array(column) for column in zip(*pairs, strict=True))
    found = regression_scores(truth, predicted)
    assert found["mae"] == pytest.approx(mean_absolute_error(truth, predicted))
    if np.ptp(truth) == 0:
        assert all(math.isnan(found[name]) for name in ("r2", "pearson", "spearman"))
        return
    assert found["r2"] == pytest.approx(r2_score(truth, predicted))
    if np.ptp(predicted) > 0:
        assert found["pearson"] == pytest.approx(stats.pearsonr(truth, predicted).statistic, abs=1e-9)
        assert found["spearman"] == pytest.approx(stats.spearmanr(truth, predicted).statistic, abs=1e-9)
    else:
        assert math.isnan(found["pearson"])


def test_values_by_hand() -> None:
    found = regression_scores(np.array([1.0, 2, 3]), np.array([1.0, 4, 9]))
    assert found["mae"] == pytest.approx(8 / 3)
    assert found["r2"] == pytest.approx(1 - 40 / 2)
    assert found["spearman"] == pytest.approx(1)
    assert found["pearson"] == pytest.approx(8 / math.sqrt(2 * (98 - 14 * 14 / 3)))
