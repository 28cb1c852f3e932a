"""Matching of table columns by name, regardless of case, spaces and separators."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from wsi_embed.errors import UsageError

Rows = list[tuple[int, dict[str, Any]]]
# Known columns, each with all its names, the preferred one first.
Known = Sequence[Sequence[str]]

SLIDE = ("slide_id", "slide", "path")
PATIENT = ("patient", "patient_id", "case_id")

# Names, normalised by `_plain`, that probably stand for a known column.
MEANT = {
    "path": r"(slide|wsi|image)(path|file|filename)?|file(name|path)",
    "slide_id": r"slides?(name|uid|key|number|no)?",
    "patient": r"(patients?|subjects?|cases?)(name|uid|id|key|number|no|code|submitterid)?",
    "mpp": r"mpp\w*|\w*mpp|(um|μm|microns?|micrometers?)(per)?p(x|ixel)|(pixel|physical)(size|spacing)\w*"
    r"|spacing\w*|res|resolution\w*",
    "roi": r"(rois?|annotations?|annots?|annos?)(file|filename|path|geojson|json|xml)*"
    r"|(geojson|xml|qupath|regions?|contours?)(file|filename|path)?",
    "fold": r"(cv)?folds?(id|index|number|no)?\d*",
}
NOTHING = r"(?!)"
CLOSE = 0.85  # similarity of a misspelt name to the correct one, 0 to 1
SHORT = 3  # names up to this length resemble too many words


def match_columns(
    columns: Sequence[str], rows: Iterable[tuple[int, Mapping[str, Any]]], known: Known, source: object
) -> tuple[list[str], Rows]:
    """Rename the known columns of a table to their known names; other columns keep their names.

    Args:
        columns: Names in the table.
        rows: Number and values of each row.
        known: Columns that the caller knows.
        source: The table, for messages.

    Returns:
        The column names, and the rows with these names.

    Raises:
        UsageError: If two columns have the same known name, or the name of a column resembles that of a known
            column that is missing.
    """
    names = {_plain(name): name for group in known for name in group}
    found = [names.get(_plain(column), column) for column in columns]
    for name in names.values():
        same = [column for column, known_as in zip(columns, found, strict=True) if known_as == name]
        if len(same) > 1:
            raise UsageError(
                f"{' and '.join(map(repr, same))} are both `{name}`", where=source, remedy="keep one column"
            )
    missing = [group for group in known if not set(group) & set(found)]
    for column in (name for name in found if name not in names.values()):
        if meant := _meant(_plain(column), missing):
            raise UsageError(
                f"the column {column!r} is not known",
                where=source,
                remedy=f"rename it to `{meant}`, or to anything else if it is something else",
            )
    renamed = dict(zip(columns, found, strict=True))
    return found, [(number, {renamed.get(k, k): v for k, v in row.items()}) for number, row in rows]


def first_of(cells: Mapping[str, str | None], names: Sequence[str]) -> str | None:
    """Return the first value that is not empty among several names of a column, or None."""
    return next((found for name in names if (found := cells.get(name))), None)


def _plain(name: str) -> str:
    """Return a name in lower case, without spaces and separators."""
    return "".join(character for character in name.casefold() if character.isalnum())


def _meant(plain: str, missing: Known) -> str | None:
    """Return the missing column that a name probably stands for, or None."""
    for group in missing:
        long = [name for name in map(_plain, group) if len(name) > SHORT]
        if re.fullmatch(MEANT.get(group[0], NOTHING), plain) or (
            difflib.get_close_matches(plain, long, n=1, cutoff=CLOSE)
        ):
            return group[0]
    return None
