"""Bags with labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np
import numpy.typing as npt

from wsi_embed.bags.bag import Bag
from wsi_embed.bags.labels.table import By
from wsi_embed.bags.patient import PatientBag
from wsi_embed.bags.source import BagSource
from wsi_embed.errors import UsageError

NAMED = 5


@dataclass(frozen=True)
class LabelledBag:
    """Bag with its label.

    Attributes:
        id: Slide id, or patient.
        slides: Ids of the bag's slides.
        patient: Patient, from the table or the store.
        label: Name of the class, or the numbers as text.
        split: Split, from the table.
        fold: Fold, from the table.
        values: Numbers instead of a class, one for each of the `columns` of the bags.
    """

    id: str
    slides: tuple[str, ...]
    patient: str | None
    label: str
    split: str | None = None
    fold: int | None = None
    values: tuple[float, ...] = ()


@dataclass(frozen=True)
class LabelledBags(Sequence[LabelledBag]):
    """Bags with their labels, sorted by id. See `join_labels`.

    Attributes:
        bags: The bags.
        classes: Names of the classes; a target is an index into it. Empty if bags have numbers.
        by: Whether a bag is a `slide` or a `patient`.
        notes: Messages about slides and labels that were left out.
        columns: Names of the numbers that bags have instead of classes: the time and the event, or one name.

    Example:
        >>> import wsi_embed
        >>> store = wsi_embed.open_store("feats.zarr")
        >>> labels = dict.fromkeys(store.slide_ids, "tumour")
        >>> bags = wsi_embed.join_labels(store, labels, classes=["normal", "tumour"])
        >>> bags[0].label, int(bags.targets[0])
        ('tumour', 1)
    """

    bags: tuple[LabelledBag, ...]
    classes: tuple[str, ...]
    by: By
    notes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.bags)

    @overload
    def __getitem__(self, index: int) -> LabelledBag: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[LabelledBag, ...]: ...
    def __getitem__(self, index: int | slice) -> LabelledBag | tuple[LabelledBag, ...]:
        return self.bags[index]

    @property
    def targets(self) -> npt.NDArray[np.int64]:
        """Class index of each bag, int64 [n].

        Raises:
            UsageError: If the bags have numbers.
        """
        if self.columns:
            raise UsageError(
                f"these bags have no classes, but numbers ({', '.join(self.columns)})",
                remedy="use `values`, or join labels with `join_labels`",
            )
        return np.array([self.classes.index(bag.label) for bag in self.bags], np.int64)

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """Numbers of each bag, float64 [n, columns]."""
        return np.array([bag.values for bag in self.bags], np.float64)

    def select(self, index: Iterable[int]) -> LabelledBags:
        """Return the bags at the given positions, with the same classes."""
        return replace(self, bags=tuple(self.bags[n] for n in index))

    def where(self, *, split: str | None = None, fold: int | None = None) -> LabelledBags:
        """Return the bags of a split, of a fold, or of both.

        Raises:
            UsageError: If there are none, or slides of one patient are in several splits.
        """
        wanted = {name: value for name, value in (("split", split), ("fold", fold)) if value is not None}
        for name, value in wanted.items():
            self._check_disjoint(name)
            there = sorted({str(getattr(bag, name)) for bag in self.bags})
            if there == ["None"]:
                raise UsageError(f"the labels have no {name}", remedy=f"add a column `{name}` to their table")
            if str(value) not in there:
                raise UsageError(f"no labelled {self.by} has the {name} {value}; there are {named(there)}")
        found = [n for n, bag in enumerate(self.bags) if all(getattr(bag, k) == v for k, v in wanted.items())]
        return self.select(found)

    def check_disjoint(self) -> None:
        """Check that no patient is in several splits or folds, which would make results too optimistic.

        Raises:
            UsageError: If slides of one patient are in several splits or folds.
        """
        for name in ("split", "fold"):
            self._check_disjoint(name)

    def _check_disjoint(self, name: str) -> None:
        seen: dict[str, set[object]] = defaultdict(set)
        for bag in self.bags:
            if bag.patient is not None:
                seen[bag.patient].add(getattr(bag, name))
        if torn := sorted(patient for patient, values in seen.items() if len(values) > 1):
            raise UsageError(
                f"patients with slides in more than one {name}: {named(torn)}", remedy=f"give each one {name}"
            )

    def open(self, store: BagSource, index: int) -> Bag | PatientBag:
        """Return a bag from the store that the labels were joined to.

        Raises:
            KeyError: If one of its slides is no longer in the store.
        """
        bag = self.bags[index]
        if self.by == "slide":
            return store[bag.id]
        return PatientBag(bag.id, [store[slide_id] for slide_id in bag.slides])


def named(names: Iterable[str]) -> str:
    """Return the first few of many names."""
    listed = list(names)
    more = len(listed) - NAMED
    return (", ".join(listed[:NAMED]) or "none") + (f" and {more} more" if more > 0 else "")
