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
    "patient": r"(bcr|tcga)?(patients?|pat|subjects?|cases?|participants?|donors?|individuals?|persons?"
    r"|submitters?|pt(?=id))(name|uid|id|key|number|nr|no|code|barcode|submitterid)?|pid|mrn",
    "mpp": r"mpp\w*|\w*mpp|mmp|(um|μm|microns?|micromet(er|re)s?)((per)?p(x|ixel)s?)?|nm(per)?p(x|ixel)"
    r"|(px|pixels?|res|level0)(um|μm|nm|microns?|micromet(er|re)s?)"
    r"|(pixel|px|physical)(size|spacing|width|height)\w*"
    r"|spacing\w*|res|resolution\w*",
    "roi": r"(rois?|annotations?|annots?|annos?)(file|filename|path|geojson|json|xml)*"
    r"|(geojson|xml|qupath|regions?|contours?)(file|filename|path)?",
    "fold": r"(cv)?folds?(id|index|number|no)?\d*",
}
NOTHING = r"(?!)"
# Columns of annotation files, which may have any name: by their name and values.
ANNOTATIONS = re.compile(r"anno|roi|region|polygon|contour|outline|shape|mask|qupath|asap|xml|json")
CLOSE = 0.85  # similarity of a misspelt name to the correct one, 0 to 1
# Texts that spreadsheets and programs write into cells without a value.
NO_VALUE = frozenset({"", "na", "n/a", "nan", "none", "null", "<na>", "#n/a"})
# Columns with the magnification of a slide, and their values, such as 20 or 40x.
MAGNIFICATION = re.compile(r"\w*magnif\w*|(app|scan|objective)?mag|(objective|obj)?(power|lens)|objective")
TIMES = re.compile(r"\d+(\.\d+)?\s*[x\u00d7]?", re.IGNORECASE)
SHORT = 3  # names up to this length resemble too many words


def match_columns(
    columns: Sequence[str], rows: Iterable[tuple[int, dict[str, Any]]], known: Known, source: object
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
    rows = list(rows)
    names = {_plain(name): name for group in known for name in group}
    found = [names.get(_plain(column), column) for column in columns]
    for name in names.values():
        same = [column for column, known_as in zip(columns, found, strict=True) if known_as == name]
        if len(same) > 1:
            raise UsageError(
                f"{' and '.join(map(repr, same))} are both `{name}`", where=source, remedy="keep one column"
            )
    missing = [group for group in known if not set(group) & set(found)]
    for original, column in zip(columns, found, strict=True):
        if column in names.values():
            continue
        meant = _meant(_plain(column), missing)
        if meant is None and ("roi",) in map(tuple, missing) and _holds_annotations(original, rows):
            meant = "roi"
        if meant:
            raise UsageError(
                f"the column {column!r} is not known",
                where=source,
                remedy=f"rename it to `{meant}`, or to anything else if it is something else",
            )
    renamed = dict(zip(columns, found, strict=True))
    return found, [(number, {renamed.get(k, k): v for k, v in row.items()}) for number, row in rows]


def cell_text(value: Any) -> str | None:
    """Return a value of a table as text, None if it is empty or a word for that, such as `NA`.

    Whole numbers are written without a decimal point: a column with empty cells holds them as floats.
    """
    if hasattr(value, "item"):  # a NumPy scalar
        value = value.item()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = "" if value is None else str(value).strip()
    return None if text.casefold() in NO_VALUE else text


def first_of(cells: Mapping[str, str | None], names: Sequence[str]) -> str | None:
    """Return the first value that is not empty among several names of a column, or None."""
    return next((found for name in names if (found := cells.get(name))), None)


def patient_of(cells: Mapping[str, str | None]) -> str | None:
    """Return the patient of a row, or None.

    The first of the columns `PATIENT` that a table has counts in all its rows: the numbers in another one may
    be those of other patients.

    Args:
        cells: Values by column; an empty cell has the value None or "".
    """
    return next((cells[name] or None for name in PATIENT if name in cells), None)


def magnification_column(cells: Mapping[str, str | None]) -> str | None:
    """Return the first column of a row that holds a magnification, which wsi-embed never uses, or None.

    Args:
        cells: Values by column.
    """
    named = ((name, cell or "") for name, cell in cells.items() if MAGNIFICATION.fullmatch(_plain(name)))
    return next((name for name, cell in named if TIMES.fullmatch(cell)), None)


def _plain(name: str) -> str:
    """Return a name in lower case, without spaces and separators."""
    return "".join(character for character in name.casefold() if character.isalnum())


def _holds_annotations(column: str, rows: Rows) -> bool:
    """Return whether a column names annotation files."""
    endings = (".geojson", ".json", ".xml") if ANNOTATIONS.search(_plain(column)) else (".geojson",)
    return any(str(row.get(column)).strip().lower().endswith(endings) for _, row in rows)


def _meant(plain: str, missing: Known) -> str | None:
    """Return the missing column that a name probably stands for, or None."""
    for group in missing:
        long = [name for name in map(_plain, group) if len(name) > SHORT]
        if re.fullmatch(MEANT.get(group[0], NOTHING), plain) or (
            difflib.get_close_matches(plain, long, n=1, cutoff=CLOSE)
        ):
            return group[0]
    return None
