"""Labelled tiles that are split into those to learn from and those to test on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_embed.errors import UsageError
from wsi_embed.util.text import counted, names_of

Strings = npt.NDArray[np.str_]
SPLITS = ("train", "test")


@dataclass(frozen=True)
class TileSet:
    """Labelled tiles, without their features.

    Attributes:
        source: Where they come from, for messages.
        names: What people know each tile by.
        labels: The class of each.
        test: Which are tested on, bool [N]; the others are learned from.
        groups: What each belongs to and must not be on both sides; empty for those that stand alone.
        slides: Ids of the slides; empty where unknown.
        patients: Of the tiles; empty where unknown.
    """

    source: str
    names: Sequence[str]
    labels: Strings
    test: npt.NDArray[np.bool_]
    groups: Strings
    slides: Strings
    patients: Strings

    def __len__(self) -> int:
        return len(self.labels)

    def check(self, k: int = 1) -> list[str]:
        """Refuse a set that cannot be evaluated honestly, and say what is odd about it.

        Args:
            k: Neighbours that will be looked for.

        Returns:
            One line for each thing that is odd.

        Raises:
            UsageError: One side is empty or has fewer train tiles than `k`, there is one class, or a group is
                on both sides.
        """
        for name, there in zip(SPLITS, (~self.test, self.test), strict=True):
            if not there.any():
                raise UsageError(
                    f"{self.source}: no tile has the split {name!r}; both train and test are needed"
                )
        count = int((~self.test).sum())
        if not 1 <= k <= count:
            raise UsageError(f"--k {k}: there are {counted(count, 'train tile')}; give 1 to {count}")
        if len(classes := np.unique(self.labels)) < 2:
            raise UsageError(
                f"{self.source}: all tiles have the label {str(classes[0])!r}; give two classes at least"
            )
        if both := self._on_both_sides(self.groups):
            raise UsageError(
                f"{self.source}: {counted(len(both), 'group')} on both sides of the split: {names_of(both)}; "
                "near-duplicates would be found again: move each group to one side"
            )
        notes = []
        for what, values in (("patient", self.patients), ("slide", self.slides)):
            if both := self._on_both_sides(values):
                notes.append(
                    f"{counted(len(both), what)} on both sides of the split ({names_of(both)}): their tiles "
                    "are alike, and the scores too good"
                )
                break  # a patient's slides would say the same again
        if unknown := sorted(set(self.labels[self.test]) - set(self.labels[~self.test])):
            notes.append(f"no train tile has the label {names_of(unknown)}: it is never predicted")
        return notes

    def _on_both_sides(self, values: Strings) -> list[str]:
        train, test = set(values[~self.test]), set(values[self.test])
        return sorted(map(str, (train & test) - {""}))


@dataclass(frozen=True)
class TileFeatures:
    """Labelled tiles with their features.

    Attributes:
        tiles: The tiles.
        features: [N, D], in the same order.
        seen: What of the test tiles the model was trained on; None where nobody knows.
        notes: What to bear in mind.
    """

    tiles: TileSet
    features: npt.NDArray[np.floating]
    seen: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()

    def check_finite(self) -> None:
        """Refuse features that are no numbers.

        Raises:
            UsageError: One is not finite.
        """
        bad = np.flatnonzero(~np.isfinite(self.features).all(1))
        if len(bad):
            raise UsageError(
                f"features of {counted(len(bad), 'tile')} are not finite, of {self.tiles.names[bad[0]]} for "
                "one: check the model, or the store with wsi-embed verify"
            )


def parse_classes(text: str | None) -> dict[str, str]:
    """What `--classes` says: `a,b=c` takes the label a as it is, and b under the name c, in that order.

    Raises:
        UsageError: A name is empty, or a label is given two names.
    """
    chosen: dict[str, str] = {}
    for part in text.split(",") if text is not None else ():
        label, renamed, name = (piece.strip() for piece in part.partition("="))
        if not label or (renamed and not name):
            raise UsageError(f"--classes {text}: expected LABEL or LABEL=NAME, separated by commas")
        if chosen.setdefault(label, name or label) != (name or label):
            raise UsageError(f"--classes {text}: {label} is given two names; keep one")
    return chosen


def choose_classes(labels: Sequence[str], wanted: Mapping[str, str], source: str) -> list[str]:
    """Labels under the names that `--classes` gives them, empty for those that it leaves out.

    Args:
        labels: As they are.
        wanted: From a label to its name; an empty mapping takes all.
        source: For the message.

    Raises:
        UsageError: No tile has a label that is named.
    """
    there = set(labels)
    if absent := [label for label in wanted if label not in there]:
        has = names_of(sorted(there - {""}), most=10)
        raise UsageError(f"--classes: no label {names_of(absent)} in {source}; it has {has}")
    return [wanted.get(label, "") for label in labels] if wanted else list(labels)
