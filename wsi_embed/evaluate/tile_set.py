"""Labelled tiles, split into training and test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_embed.errors import UsageError
from wsi_embed.util.text import argument, counted, names_of

Strings = npt.NDArray[np.str_]
SPLITS = ("train", "test")


@dataclass(frozen=True)
class TileSet:
    """Labelled tiles, without their features.

    Attributes:
        source: Name of the table or store, for messages.
        names: Readable names of the tiles.
        labels: Class of each tile.
        test: Whether a tile is for testing, bool [N]; the others are for training.
        groups: Group of each tile. A group must not be on both sides of the split; empty for no group.
        slides: Slide id of each tile; empty if unknown.
        patients: Patient of each tile; empty if unknown.
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
        """Check that the tiles can be evaluated without bias.

        Args:
            k: Number of neighbours that will be searched for.

        Returns:
            Notes on possible problems, one line each.

        Raises:
            UsageError: If one side of the split is empty, there are fewer than `k` training tiles or two
                classes, or a group is on both sides.
        """
        for name, there in zip(SPLITS, (~self.test, self.test), strict=True):
            if not there.any():
                raise UsageError(
                    f"no tile has the split {name!r}; both train and test are needed", where=self.source
                )
        count = int((~self.test).sum())
        if not 1 <= k <= count:
            raise UsageError(
                f"there are {counted(count, 'train tile')}",
                where=argument("k", k),
                remedy=f"give 1 to {count}",
            )
        self.check_classes()
        if both := self._on_both_sides(self.groups):
            raise UsageError(
                f"{counted(len(both), 'group')} on both sides of the split: {names_of(both)}; "
                "near-duplicates would be found again: move each group to one side",
                where=self.source,
            )
        notes = []
        for what, values in (("patient", self.patients), ("slide", self.slides)):
            if both := self._on_both_sides(values):
                notes.append(
                    f"{counted(len(both), what)} on both sides of the split ({names_of(both)}): their tiles "
                    "are alike, and the scores too good"
                )
                break  # the same patients would be reported again by their slides
        if unknown := sorted(set(self.labels[self.test]) - set(self.labels[~self.test])):
            notes.append(f"no train tile has the label {names_of(unknown)}: it is never predicted")
        return notes

    def check_classes(self) -> None:
        """Check that the tiles have two classes.

        Raises:
            UsageError: If they have fewer.
        """
        classes = np.unique(self.labels)
        if len(classes) < 2:
            what = f"all tiles have the label {str(classes[0])!r}" if len(classes) else "there are no tiles"
            raise UsageError(what, where=self.source, remedy="give two classes at least")

    def _on_both_sides(self, values: Strings) -> list[str]:
        train, test = set(values[~self.test]), set(values[self.test])
        return sorted(map(str, (train & test) - {""}))


@dataclass(frozen=True)
class TileFeatures:
    """Labelled tiles with their features.

    Attributes:
        tiles: The tiles.
        features: Features in the same order, float [N, D].
        seen: Test data that the model was trained on; None if unknown.
        notes: Notes on the interpretation of the results.
    """

    tiles: TileSet
    features: npt.NDArray[np.floating]
    seen: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()

    def check_finite(self) -> None:
        """Check that all features are finite.

        Raises:
            UsageError: If a feature is NaN or infinite.
        """
        bad = np.flatnonzero(~np.isfinite(self.features).all(1))
        if len(bad):
            raise UsageError(
                f"features of {counted(len(bad), 'tile')} are not finite, such as those of "
                f"{self.tiles.names[bad[0]]}",
                remedy="check the model, or the store with wsi-embed verify",
            )


def parse_classes(text: str | None) -> dict[str, str]:
    """Parse `--classes`: `a,b=c` selects the label a, and the label b under the name c, in that order.

    Args:
        text: Value of the option, or None.

    Returns:
        Names by label.

    Raises:
        UsageError: If a name is empty, or a label has two names.
    """
    chosen: dict[str, str] = {}
    for part in text.split(",") if text is not None else ():
        label, renamed, name = (piece.strip() for piece in part.partition("="))
        if not label or (renamed and not name):
            raise UsageError(
                "expected LABEL or LABEL=NAME, separated by commas", where=argument("classes", text)
            )
        if chosen.setdefault(label, name or label) != (name or label):
            raise UsageError(
                f"{label} is given two names", where=argument("classes", text), remedy="keep one"
            )
    return chosen


def choose_classes(labels: Sequence[str], wanted: Mapping[str, str], source: str) -> list[str]:
    """Rename labels as in `--classes`; labels that it does not list become empty.

    Args:
        labels: Labels of the tiles.
        wanted: Names by label; an empty mapping keeps all labels.
        source: Name of the table, for the message.

    Raises:
        UsageError: If no tile has one of the listed labels.
    """
    there = set(labels)
    if absent := [label for label in wanted if label not in there]:
        has = names_of(sorted(there - {""}), most=10)
        raise UsageError(f"no label {names_of(absent)} in {source}; it has {has}", where="`classes=`")
    return [wanted.get(label, "") for label in labels] if wanted else list(labels)
