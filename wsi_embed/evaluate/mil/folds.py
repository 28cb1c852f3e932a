"""Folds of patients, stratified by class or target, for training, validation and test."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedKFold

from wsi_embed.bags.labels import LabelledBags
from wsi_embed.errors import UsageError
from wsi_embed.util.text import argument, counted, names_of

Index = npt.NDArray[np.intp]
Bool = npt.NDArray[np.bool_]
FOLDS = 5
# One of this many parts of the patients not in the test is for validation.
PARTS = 5
VALIDATION = ("val", "valid", "validation")


@dataclass(frozen=True)
class Fold:
    """Indices of the bags for training, validation and test.

    Attributes:
        seed: Seed of the fold.
        number: Number of the fold, from 0.
        train: Bags for training.
        validation: Bags for early stopping.
        test: Bags for testing.
    """

    seed: int
    number: int
    train: Index
    validation: Index
    test: Index


@dataclass(frozen=True)
class Strata:
    """Groups of bags that are spread evenly over the folds, such as the classes.

    Attributes:
        numbers: Group of each bag, int64 [bags].
        names: Names of the groups, for messages.
    """

    numbers: npt.NDArray[np.int64]
    names: tuple[str, ...]


def class_strata(bags: LabelledBags) -> Strata:
    """Return the classes of bags as strata."""
    return Strata(bags.targets, tuple(f"class {name!r}" for name in bags.classes))


def make_folds(
    bags: LabelledBags, folds: int | None = None, seeds: int = 1, strata: Strata | None = None
) -> list[Fold]:
    """Split bags into training, validation and test, with disjoint patients and all strata in each.

    Without `folds`, the table of the labels determines the folds: its column `split` (`train`, `test` and
    optionally `val`) gives one fold, or else its column `fold` gives several. If it has neither column, five
    folds are drawn. Drawn folds are stratified: of each stratum, every fold tests the same number of
    patients, plus or minus one, and every bag is tested once per seed. If the table gives no validation part,
    it is a stratified fifth of the patients that are not tested. A patient with bags of several strata counts
    as the rarest of them. A bag without a patient is treated as a separate patient.

    Args:
        bags: The labelled bags.
        folds: Number of folds to draw; None uses the table of the labels if possible.
        seeds: Number of repetitions, each with other random patients.
        strata: Groups of bags to spread over the folds; None takes the classes.

    Raises:
        UsageError: If a stratum has too few patients, only some bags have a fold, or the split of the table
            lacks a side or has a patient on two sides.
    """
    people = _People(bags, strata or class_strata(bags))
    if folds is None and any(bag.split for bag in bags):
        bags.check_disjoint()
        return [people.fold(seed, 0, *_sides(bags)) for seed in range(seeds)]
    without = [bag.id for bag in bags if bag.fold is None]
    if folds is None and 0 < len(without) < len(bags):
        raise UsageError(
            f"the labels' column `fold` is empty for {counted(len(without), 'bag')} of {len(bags)} "
            f"({names_of(without)}): fill it in, or draw with `folds=`"
        )
    if folds is None and not without:
        bags.check_disjoint()
        of = np.array([bag.fold for bag in bags])
        tests = [(of == number) for number in np.unique(of)]
        return [people.fold(s, n, test, ~test) for s in range(seeds) for n, test in enumerate(tests)]
    count = folds or FOLDS
    return [
        people.fold(seed, number, test, ~test)
        for seed in range(seeds)
        for number, test in enumerate(people.parts(np.ones(len(bags), np.bool_), count, seed))
    ]


def unused(bags: LabelledBags, folds: Iterable[Fold]) -> list[str]:
    """Return a note on bags that are in no fold, because their split is neither train, val nor test."""
    used = {int(n) for fold in folds for side in (fold.train, fold.validation, fold.test) for n in side}
    left = [bag for n, bag in enumerate(bags) if n not in used]
    if not left:
        return []
    words = names_of(sorted({repr(bag.split or "") for bag in left}))
    return [f"{counted(len(left), 'bag')} left out, whose split is {words}: {names_of(b.id for b in left)}"]


def _sides(bags: LabelledBags) -> tuple[Bool, Bool, Bool | None]:
    """Return masks of the test, training and validation bags in the column `split` of a table."""
    split = np.array([(bag.split or "").lower() for bag in bags])
    test, train, held = split == "test", split == "train", np.isin(split, VALIDATION)
    for name, side in (("train", train), ("test", test)):
        if not side.any():
            there = ", ".join(sorted({bag.split or "nothing" for bag in bags}))
            raise UsageError(
                f"the labels' column `split` has no {name}, but {there}",
                remedy="correct it, or draw with `folds=`",
            )
    return test, train, held if held.any() else None


class _People:
    """Patients of bags, and their strata."""

    def __init__(self, bags: LabelledBags, strata: Strata) -> None:
        self.names, targets = strata.names, strata.numbers
        names = [f"p:{bag.patient}" if bag.patient else f"b:{bag.id}" for bag in bags]
        self.of_bag = np.unique(names, return_inverse=True)[1]
        counts = np.bincount(targets, minlength=len(self.names))
        rarest_first = sorted(range(len(targets)), key=lambda n: int(counts[targets[n]]))
        self.stratum = np.full(self.of_bag.max() + 1, -1)
        for n in reversed(rarest_first):
            self.stratum[self.of_bag[n]] = targets[n]

    def parts(self, among: Bool, count: int, seed: int) -> Iterator[Bool]:
        """Split the patients of some bags into stratified parts.

        Args:
            among: Mask of the bags.
            count: Number of parts.
            seed: Seed of the split.

        Yields:
            Mask of the bags of each part.

        Raises:
            UsageError: If a stratum has fewer patients than parts.
        """
        patients = np.unique(self.of_bag[among])
        for name, number in self._counts(patients).items():
            if number < count:
                remedy = f"use {argument('folds', number)}" if number > 2 else "three at least are needed"
                raise UsageError(
                    f"{name} has {counted(number, 'patient')}, fewer than {count} folds: {remedy}"
                )
        shuffled = StratifiedKFold(count, shuffle=True, random_state=seed)
        for _, part in shuffled.split(patients, self.stratum[patients]):
            yield among & np.isin(self.of_bag, patients[part])

    def fold(self, seed: int, number: int, test: Bool, rest: Bool, held: Bool | None = None) -> Fold:
        """Create a fold.

        Args:
            seed: Seed of the fold.
            number: Number of the fold.
            test: Mask of the test bags.
            rest: Mask of the training bags, including those for validation if `held` is None.
            held: Mask of the validation bags; by default a fifth of the patients in `rest`.

        Raises:
            UsageError: If a stratum has fewer than two patients for training and validation.
        """
        if held is None:
            left = self._counts(np.unique(self.of_bag[rest]))
            for name, count in left.items():
                if count < 2:
                    raise UsageError(
                        f"{name} has {counted(count, 'patient')} beside those that are tested, and "
                        "needs two: one to learn from, one to decide when to stop",
                        remedy="add slides",
                    )
            held = next(self.parts(rest, min(PARTS, *left.values()), seed))
            rest = rest & ~held
        return Fold(seed, number, *(np.flatnonzero(side) for side in (rest, held, test)))

    def _counts(self, patients: Index) -> dict[str, int]:
        """Count the patients of each stratum."""
        strata = self.stratum[patients]
        return {name: int((strata == n).sum()) for n, name in enumerate(self.names)}
