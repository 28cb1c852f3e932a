"""Who is tested by what was learned from whom: folds of patients, stratified by class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedKFold

from wsi_embed.bags.labels import LabelledBags
from wsi_embed.errors import UsageError
from wsi_embed.util.text import counted, names_of

Index = npt.NDArray[np.intp]
Bool = npt.NDArray[np.bool_]
FOLDS = 5
# One patient in so many of those to learn from decides when to stop.
PARTS = 5
VALIDATION = ("val", "valid", "validation")


@dataclass(frozen=True)
class Fold:
    """Which bags are learned from, which decide when to stop, and which are tested: positions of bags.

    Attributes:
        seed: Of the draw.
        number: Of the fold, from 0.
        train: To learn from.
        validation: To decide when to stop.
        test: To test on.
    """

    seed: int
    number: int
    train: Index
    validation: Index
    test: Index


def make_folds(bags: LabelledBags, folds: int | None = None, seeds: int = 1) -> list[Fold]:
    """Split bags so that no patient is on two sides, and each class on all.

    Without `folds` the labels' table decides where it can: by its column `split` (`train`, `test`, and
    maybe `val`: one fold), else by its column `fold`. Otherwise folds are drawn, five by default: of each
    class every fold tests as many patients as the others, give or take one, and every bag is tested once a
    seed. Where no validation part is given it is a fifth of the patients to learn from, stratified
    likewise. A patient whose bags are of several classes counts as of the rarest; a bag without a patient
    is a patient of its own.

    Args:
        bags: The labelled bags.
        folds: How many are drawn.
        seeds: How often all is done; each time other patients are drawn.

    Raises:
        UsageError: A class has too few patients, only some bags have a fold, or the table's split lacks a
            side or tears a patient apart.
    """
    people = _People(bags)
    if folds is None and any(bag.split for bag in bags):
        bags.check_disjoint()
        return [people.fold(seed, 0, *_sides(bags)) for seed in range(seeds)]
    without = [bag.id for bag in bags if bag.fold is None]
    if folds is None and 0 < len(without) < len(bags):
        raise UsageError(
            f"the labels' column `fold` is empty for {counted(len(without), 'bag')} of {len(bags)} "
            f"({names_of(without)}): fill it in, or draw with --folds"
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
    """Return a line on the bags that are on no side of any fold, if there are any: a split may say others."""
    used = {int(n) for fold in folds for side in (fold.train, fold.validation, fold.test) for n in side}
    left = [bag for n, bag in enumerate(bags) if n not in used]
    if not left:
        return []
    words = names_of(sorted({repr(bag.split or "") for bag in left}))
    return [f"{counted(len(left), 'bag')} left out, whose split is {words}: {names_of(b.id for b in left)}"]


def _sides(bags: LabelledBags) -> tuple[Bool, Bool, Bool | None]:
    """Test, train and validation bags of a table's split."""
    split = np.array([(bag.split or "").lower() for bag in bags])
    test, train, held = split == "test", split == "train", np.isin(split, VALIDATION)
    for name, side in (("train", train), ("test", test)):
        if not side.any():
            there = ", ".join(sorted({bag.split or "nothing" for bag in bags}))
            raise UsageError(
                f"the labels' column `split` has no {name}, but {there}; correct it, or draw with --folds"
            )
    return test, train, held if held.any() else None


class _People:
    """The patients behind bags, and their classes."""

    def __init__(self, bags: LabelledBags) -> None:
        self.bags, targets = bags, bags.targets
        names = [f"p:{bag.patient}" if bag.patient else f"b:{bag.id}" for bag in bags]
        self.of_bag = np.unique(names, return_inverse=True)[1]
        counts = np.bincount(targets, minlength=len(bags.classes))
        rarest_first = sorted(range(len(targets)), key=lambda n: int(counts[targets[n]]))
        self.stratum = np.full(self.of_bag.max() + 1, -1)
        for n in reversed(rarest_first):
            self.stratum[self.of_bag[n]] = targets[n]

    def parts(self, among: Bool, count: int, seed: int) -> Iterator[Bool]:
        """Stratified parts of the patients of some bags, each as a mask of bags.

        Raises:
            UsageError: A class has fewer patients than parts.
        """
        patients = np.unique(self.of_bag[among])
        for name, number in self._counts(patients).items():
            if number < count:
                remedy = f"use --folds {number}" if number > 2 else "a class needs three at least"
                raise UsageError(
                    f"class {name!r} has {counted(number, 'patient')}, fewer than {count} folds: {remedy}"
                )
        shuffled = StratifiedKFold(count, shuffle=True, random_state=seed)
        for _, part in shuffled.split(patients, self.stratum[patients]):
            yield among & np.isin(self.of_bag, patients[part])

    def fold(self, seed: int, number: int, test: Bool, rest: Bool, held: Bool | None = None) -> Fold:
        """A fold; where it is not given, the validation part is drawn.

        Raises:
            UsageError: Of a class fewer than two patients are left to learn from and to validate.
        """
        if held is None:
            left = self._counts(np.unique(self.of_bag[rest]))
            for name, count in left.items():
                if count < 2:
                    raise UsageError(
                        f"class {name!r} has {counted(count, 'patient')} beside those that are tested, and "
                        "needs two: one to learn from, one to decide when to stop; add slides"
                    )
            held = next(self.parts(rest, min(PARTS, *left.values()), seed))
            rest = rest & ~held
        return Fold(seed, number, *(np.flatnonzero(side) for side in (rest, held, test)))

    def _counts(self, patients: Index) -> dict[str, int]:
        """Patients of each class."""
        strata = self.stratum[patients]
        return {name: int((strata == n).sum()) for n, name in enumerate(self.bags.classes)}
