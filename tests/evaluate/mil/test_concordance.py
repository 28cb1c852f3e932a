"""Harrell's index against a loop over all pairs, and against values by hand."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_embed.evaluate.mil.concordance import concordance_index

Row = tuple[float, int, float]
rows = st.lists(
    st.tuples(
        st.sampled_from([0.0, 1.0, 2.0, 3.5]), st.integers(0, 1), st.sampled_from([-1.0, 0.0, 0.5, 2.0])
    ),
    min_size=1,
    max_size=14,
)


def index_of(given_rows: list[Row]) -> float:
    times, events, risks = (np.array(column, float) for column in zip(*given_rows, strict=True))
    return concordance_index(times, events, risks)


def slow_index(given_rows: list[Row]) -> float:
    points = []
    for (time, event, risk), (other_time, other_event, other_risk) in permutations(given_rows, 2):
        if event and (time < other_time or (time == other_time and not other_event)):
            points.append(1.0 if risk > other_risk else 0.5 if risk == other_risk else 0.0)
    return float(np.mean(points)) if points else math.nan


@settings(max_examples=100)
@given(rows)
def test_it_is_the_share_of_pairs(given_rows: list[Row]) -> None:
    assert index_of(given_rows) == pytest.approx(slow_index(given_rows), nan_ok=True)


def test_values_by_hand() -> None:
    assert index_of([(1, 1, 3), (2, 1, 2), (3, 1, 1)]) == 1
    assert index_of([(1, 1, 1), (2, 1, 2), (3, 1, 3)]) == 0
    assert index_of([(1, 1, 5), (2, 1, 5)]) == 0.5
    # the censored one at 1 is comparable with none, the one at 3 with the event at 2
    assert index_of([(1, 0, 0), (2, 1, 7), (3, 0, 1)]) == 1
    # an event and a censored time at once: the event comes first; two events at once say nothing
    assert index_of([(2, 1, 7), (2, 0, 9)]) == 0
    assert math.isnan(index_of([(2, 1, 7), (2, 1, 9)]))
    assert math.isnan(index_of([(1, 0, 0), (2, 0, 1)]))
