"""Folds: disjoint by group, stratified by class, the same for the same seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from tests.evaluate.made import grouped_tiles
from wsi_embed.errors import UsageError
from wsi_embed.evaluate.folds import Folds, draw_folds

rows = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 12)), min_size=4, max_size=80)


def drawn(labels: Any, groups: Any, count: int = 3, seed: int = 0, **changes: Any) -> Folds:
    return draw_folds(grouped_tiles(labels, groups, **changes), count, seed)


@settings(max_examples=100)
@given(rows, st.integers(2, 6), st.integers(0, 3))
def test_every_tile_is_tested_once_and_no_group_is_on_both_sides(
    tiles: list[tuple[str, int]], count: int, seed: int
) -> None:
    labels, groups = np.array([label for label, _ in tiles]), np.array([group for _, group in tiles])
    assume(len(set(groups)) >= count and len(set(labels)) > 1)
    assume(all(len(set(groups[labels == name])) > 1 for name in set(labels)))
    folds = drawn(labels, groups, count, seed)
    sides = list(folds)
    assert len(sides) == count
    assert sorted(np.concatenate([test for _, test in sides]).tolist()) == list(range(len(tiles)))
    for train, test in sides:
        assert len(test)
        assert sorted([*train.tolist(), *test.tolist()]) == list(range(len(tiles)))
        assert not set(groups[train]) & set(groups[test])


@settings(max_examples=50)
@given(st.lists(st.integers(2, 9), min_size=2, max_size=4), st.integers(2, 5), st.integers(0, 3))
def test_equal_groups_of_one_class_are_dealt_evenly(sizes: list[int], count: int, seed: int) -> None:
    """Each fold tests the same number of groups of each class, give or take one."""
    assume(sum(sizes) >= count)
    labels = [str(label) for label, size in enumerate(sizes) for _ in range(3 * size)]
    folds = drawn(labels, np.arange(len(labels)) // 3, count, seed)
    for label in set(labels):
        tested = [sum(labels[n] == label for n in test) // 3 for _, test in folds]
        assert max(tested) - min(tested) <= 1


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(UsageError, match="`seed=-1`: 0 to 4294967295 is expected"):
        drawn([*"abab"], [0, 1, 2, 3], 2, seed=-1)


@settings(max_examples=30)
@given(st.permutations(range(40)), st.integers(0, 3))
def test_the_order_of_the_table_does_not_matter(order: list[int], seed: int) -> None:
    labels, groups = np.array([*"aab"] * 13 + ["b"]), np.arange(40) % 11
    first = drawn(labels, groups, 4, seed).of_tile
    again = drawn(labels[order], groups[order], 4, seed).of_tile
    assert again.tolist() == first[order].tolist()


def test_the_seed_decides() -> None:
    labels, groups = [*"ab"] * 60, np.repeat(np.arange(60), 2)
    first, again, other = (drawn(labels, groups, 5, seed).of_tile.tolist() for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_they_are_as_even_as_those_of_scikit_learn() -> None:
    """Groups of very different sizes, with classes of 70, 25 and 5 %."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), rng.integers(1, 30, 60))
    main = rng.choice([*"abc"], 60, p=[0.7, 0.25, 0.05])
    labels = np.where(rng.random(len(groups)) < 0.8, main[groups], "a")

    def unevenness(of_tile: Any) -> float:
        shares = [[np.mean(of_tile[labels == name] == fold) for fold in range(5)] for name in "abc"]
        return float(np.std(shares, axis=1).sum())

    expected = np.zeros(len(groups), np.intp)
    for fold, (_, test) in enumerate(StratifiedGroupKFold(5).split(labels, labels, groups)):
        expected[test] = fold
    ours = [unevenness(drawn(labels, groups, 5, seed).of_tile) for seed in range(5)]
    assert max(ours) < 1.5 * unevenness(expected)


@pytest.mark.parametrize(
    ("labels", "groups", "count", "says"),
    [
        ("aabb", [1, 2, 1, 2], 3, r"`folds=3`: tiles.csv has 2 groups; give 2$"),
        ("abab", [1, 2, 2, 3], 4, r"`folds=4`: tiles.csv has 3 groups; give 2 to 3$"),
        ("aabb", [1, 1, 1, 1], 2, r"in one group only: a \(1\), b \(1\)"),
        ("aaaa", [1, 2, 3, 4], 2, r"tiles.csv: all tiles have the label 'a'; give two classes at least"),
        ("", [], 2, r"tiles.csv: there are no tiles; give two classes at least"),
        (
            "aabb",
            [1, 2, 3, 3],
            2,
            r"tiles.csv: each class needs two groups, .*; in one group only: b \(3\); add groups, or choose",
        ),
        ("aabc", [1, 2, 3, 3], 2, r"in one group only: b \(3\), c \(3\); add"),
        ("aabb", [1, "", 2, ""], 2, r"tiles.csv: 2 tiles without a group, such as t1; add it, or leave"),
    ],
)
def test_what_cannot_be_divided_is_said(labels: str, groups: list[object], count: int, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        drawn([*labels], groups, count)


def test_more_neighbours_than_the_smallest_train_part() -> None:
    folds = drawn([*"ab"] * 6, np.arange(12), 3)
    assert folds.check(8) == []
    with pytest.raises(UsageError, match="`k=9`: there are 8 train tiles in one of the folds; give 1 to 8"):
        folds.check(9)


def test_patients_in_several_folds_are_said() -> None:
    patients = np.array([f"p{n % 3}" for n in range(12)])
    notes = drawn([*"ab"] * 6, np.arange(12), 3, patients=patients, slides=patients).check()
    assert notes == [
        "3 patients in several folds (p0, p1, p2): their tiles are alike, and the scores too good"
    ]
    assert drawn([*"ab"] * 6, np.arange(12) // 2, 3, slides=np.arange(12).astype(str)).check() == []


def test_rare_classes_are_said() -> None:
    notes = drawn([*"ab"] * 6 + ["c", "c"], np.arange(14), 3).check()
    assert notes == ["c has too few groups: no test tile in 1 fold"]
    tiles = grouped_tiles([*"ab"] * 3, range(6))
    folds = Folds(tiles, np.array([0, 0, 1, 0, 1, 0]), 2)
    assert folds.check() == ["all tiles of b are in one fold: it is never predicted"]
