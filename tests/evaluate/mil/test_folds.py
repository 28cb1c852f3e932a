"""Folds: disjoint by patient, stratified, complete; and what cannot be split."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluate.mil.made import bags_of
from wsi_embed.bags.labels import LabelledBags
from wsi_embed.errors import UsageError
from wsi_embed.evaluate.mil.folds import Fold, make_folds, unused

# Patients, each with a class and a number of slides; three classes at most.
people = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 3)), min_size=12, max_size=50)


def made(patients: list[tuple[str, int]]) -> LabelledBags:
    labels, of = {}, {}
    for number, (label, slides) in enumerate(patients):
        for slide in range(slides):
            labels[f"s{number}-{slide}"] = label
            of[f"s{number}-{slide}"] = f"p{number}"
    return bags_of(labels, patients=of)


def sides(fold: Fold) -> list[set[int]]:
    return [set(side.tolist()) for side in (fold.train, fold.validation, fold.test)]


@settings(max_examples=40)
@given(people, st.integers(3, 5), st.integers(1, 2))
def test_disjoint_stratified_complete(patients: list[tuple[str, int]], count: int, seeds: int) -> None:
    bags = made(patients)
    per_class = Counter(label for label, _ in patients)
    if min(per_class.values()) < count or len(per_class) < 2:
        return
    folds = make_folds(bags, count, seeds)
    assert [(f.seed, f.number) for f in folds] == [(s, n) for s in range(seeds) for n in range(count)]
    tested: Counter[tuple[int, int]] = Counter()
    for fold in folds:
        train, validation, test = sides(fold)
        assert sorted([*train, *validation, *test]) == list(range(len(bags)))  # disjoint and complete
        of = [{bags[n].patient for n in side} for side in (train, validation, test)]
        assert not any(a & b for a, b in itertools.combinations(of, 2))
        for side in (train, validation, test):
            assert {bags[n].label for n in side} == per_class.keys()
        tested.update((fold.seed, n) for n in test)
        for label, total in per_class.items():
            here = {bags[n].patient for n in test if bags[n].label == label}
            assert total // count <= len(here) <= -(-total // count)
    assert set(tested.values()) == {1}
    assert len(tested) == seeds * len(bags)


def test_seeds_draw_other_folds_and_the_same_again() -> None:
    bags = made([("a", 1)] * 20 + [("b", 1)] * 20)
    first, again = make_folds(bags, 4, 2), make_folds(bags, 4, 2)
    assert [sides(f) for f in first] == [sides(f) for f in again]
    assert sides(first[0]) != sides(first[4])


def test_five_folds_without_a_word() -> None:
    assert len(make_folds(made([("a", 1)] * 8 + [("b", 1)] * 8))) == 5


def test_a_patient_of_two_classes_counts_as_of_the_rarer() -> None:
    labels = {f"s{n}": "common" for n in range(16)} | {f"r{n}": "rare" for n in range(4)}
    patients = {name: f"p{name[1:]}" for name in labels}  # p0 to p3 have both
    folds = make_folds(bags_of(labels, patients=patients), 4)
    for fold in folds:
        assert sum(n >= 16 for n in fold.test) == 1


def test_bags_without_a_patient_stand_alone() -> None:
    labels = {f"s{n}": "ab"[n % 2] for n in range(12)}
    assert sorted(n for fold in make_folds(bags_of(labels), 3) for n in fold.test) == list(range(12))


def test_the_tables_split() -> None:
    labels = {f"s{n}": "ab"[n % 2] for n in range(20)}
    parts = {name: "test" if n < 6 else "Train".lower() for n, name in enumerate(labels)}
    folds = make_folds(bags_of(labels, splits=parts), seeds=2)
    assert [(f.seed, f.number) for f in folds] == [(0, 0), (1, 0)]
    assert [f.test.tolist() for f in folds] == [list(range(6))] * 2
    assert folds[0].validation.tolist() != folds[1].validation.tolist()
    given = parts | {"s18": "val", "s19": "val", "s17": "unused"}
    fold = make_folds(bags_of(labels, splits=given))[0]
    assert fold.validation.tolist() == [18, 19]
    assert fold.train.tolist() == list(range(6, 17))
    assert unused(bags_of(labels, splits=given), [fold]) == ["1 bag left out, whose split is 'unused': s17"]
    drawn = make_folds(bags_of(labels, splits=given), folds=3)
    assert unused(bags_of(labels, splits=given), drawn) == []
    assert sorted(n for f in drawn for n in f.test) == list(range(20))


def test_the_tables_folds() -> None:
    labels = {f"s{n}": "ab"[n % 2] for n in range(24)}
    of = {name: 10 * (n // 8) for n, name in enumerate(labels)}
    folds = make_folds(bags_of(labels, folds=of))
    assert [f.test.tolist() for f in folds] == [list(range(8)), list(range(8, 16)), list(range(16, 24))]
    assert [f.number for f in folds] == [0, 1, 2]
    del of["s3"], of["s9"]
    with pytest.raises(UsageError, match=r"`fold` is empty for 2 bags of 24 \(s3, s9\): fill it in, or draw"):
        make_folds(bags_of(labels, folds=of))
    assert len(make_folds(bags_of(labels, folds=of), folds=3)) == 3


@pytest.mark.parametrize(
    ("patients", "folds", "says"),
    [
        ([("a", 1)] * 9 + [("b", 1)] * 4, 5, "class 'b' has 4 patients, fewer than 5 folds: use `folds=4`"),
        ([("a", 1)] * 9 + [("b", 5)], 5, "class 'b' has 1 patient, fewer than 5 folds: three at least"),
        (
            [("a", 1)] * 9 + [("b", 1)] * 3,
            2,
            "class 'b' has 1 patient beside those that are tested, and needs two",
        ),
    ],
)
def test_too_few_patients(patients: list[tuple[str, int]], folds: int, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        make_folds(made(patients), folds)


def test_splits_that_lack_a_side_or_tear_a_patient_apart() -> None:
    labels = {f"s{n}": "ab"[n % 2] for n in range(12)}
    with pytest.raises(UsageError, match="has no test, but train; correct it, or draw with `folds=`"):
        make_folds(bags_of(labels, splits=dict.fromkeys(labels, "train")))
    parts = {name: "test" if n < 4 else "train" for n, name in enumerate(labels)}
    torn = {"s0": "p", "s9": "p"}
    with pytest.raises(UsageError, match="patients with slides in more than one split: p"):
        make_folds(bags_of(labels, splits=parts, patients=torn))
    assert len(np.unique(make_folds(bags_of(labels, splits=parts))[0].test)) == 4
