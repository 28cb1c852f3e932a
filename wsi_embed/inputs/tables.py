"""Tables of slides or tiles: CSV, TSV and Parquet."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from wsi_embed.errors import MissingExtraError, UsageError
from wsi_embed.inputs.columns import PATIENT, Known, Rows, match_columns
from wsi_embed.util.extras import install_command

MANIFEST = "manifest"
MANIFEST_SUFFIXES = frozenset({".csv", ".tsv", ".parquet"})
SEPARATOR = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
MANIFEST_COLUMNS: Known = (("path",), ("slide_id",), PATIENT, ("mpp",), ("roi",))


def read_manifest(source: Path, known: Known = MANIFEST_COLUMNS, *, name: object = None) -> Rows:
    """Read the rows of a manifest (CSV, TSV, Parquet), each with its number in the file.

    Lines of text that begin with `#` are comments, unless there is a file of that name.

    Args:
        source: Manifest file.
        known: Columns that the caller uses, `path` among them.
        name: Name of the file for messages; its path by default.

    Raises:
        UsageError: If the file cannot be read, has no column `path`, or has a column whose name resembles
            that of a known one.
        MissingExtraError: If the file is Parquet, and pyarrow is not installed.
    """
    name = name or source
    columns, rows = read_table(source, MANIFEST, known, name=name)
    if "path" not in columns:
        raise UsageError(
            "a manifest needs a column `path` (optional: slide_id, patient, mpp, roi); it has "
            f"{', '.join(columns) or 'none'}",
            where=name,
            remedy="name the columns in the first line; one that begins with # is a comment",
        )
    return rows


def read_table(source: Path, kind: str, known: Known, *, name: object = None) -> tuple[list[str], Rows]:
    """Read columns and rows of a table (CSV, TSV, Parquet), each row with its number in the file.

    Args:
        source: Table file.
        kind: Kind of table, for messages.
        known: Columns that the caller uses; see `match_columns`.
        name: Name of the file for messages; its path by default.

    Raises:
        UsageError: If the file is missing or cannot be read, a row has values beyond the last column, or a
            known column occurs twice or has a name that only resembles it.
        MissingExtraError: If the file is Parquet, and pyarrow is not installed.
    """
    if not source.exists():
        raise UsageError("no such file", where=name or source)
    if source.is_dir():
        columns = ", ".join(names[0] for names in known)
        raise UsageError(
            f"is a folder, not a {kind}",
            where=name or source,
            remedy=f"give a CSV, TSV or Parquet file with the columns {columns}",
        )
    read = _read_parquet if source.suffix.lower() == ".parquet" else _read_csv
    return match_columns(*read(source, kind, name or source), known, name or source)


def _read_csv(source: Path, kind: str, name: object) -> tuple[list[str], Rows]:
    try:
        with source.open(newline="", encoding="utf-8-sig") as lines:
            header, skipped, delimiter = _header(lines)
            reader = csv.DictReader(chain([header], lines), delimiter=delimiter, skipinitialspace=True)
            rows = [(reader.line_num + skipped, row) for row in reader]
            columns = list(reader.fieldnames or [])
    except UnicodeDecodeError as error:
        raise UsageError(
            f"cannot be read as a CSV {kind} ({error})", where=name, remedy="save it as UTF-8"
        ) from error
    except (OSError, csv.Error) as error:
        raise UsageError(f"cannot be read as a CSV {kind} ({error})", where=name) from error
    if columns and kind == MANIFEST:
        rows = [(number, row) for number, row in rows if not _is_comment(source, row[columns[0]])]
    for number, row in rows if columns else ():
        if any(value.strip() for value in row.pop(None, ())):  # a trailing delimiter is harmless
            raise UsageError(
                "more values than columns",
                where=f"{name}, row {number}",
                remedy=f"put values that hold a {delimiter!r} into quotes",
            )
    return columns, rows


def _header(lines: Iterator[str]) -> tuple[str, int, str]:
    """Return the line with the names of the columns, the number of lines before it, and the delimiter.

    Before it are comments, and the line `sep=;` by which Excel writes and reads the delimiter.
    """
    stated = ""
    for skipped, line in enumerate(lines):
        if not stated and (separator := SEPARATOR.fullmatch(line.strip("\r\n"))):
            stated = separator[1]
        elif line.strip() and not line.startswith("#"):
            return line, skipped, stated or _delimiter(line)
    return "", 0, ","


def _is_comment(source: Path, cell: str | None) -> bool:
    """Tell whether a row is a comment by its first cell: it begins with `#` and names no file."""
    return bool(cell and cell.startswith("#")) and not (source.parent / str(cell)).exists()


def _delimiter(header: str) -> str:
    """Return the delimiter: spreadsheets write semicolons where the comma is the decimal sign, or tabs."""
    return max(",;\t", key=header.count)


def _read_parquet(source: Path, kind: str, name: object) -> tuple[list[str], Rows]:
    try:
        import pyarrow.parquet as parquet
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "reading Parquet needs pyarrow, which is not installed",
            where=name,
            remedy=f"{install_command('parquet')}, or give a CSV",
        ) from error
    try:
        table = parquet.read_table(source)
    except Exception as error:
        why = str(error).replace(str(source), str(name))
        raise UsageError(f"cannot be read as a Parquet {kind} ({why})", where=name) from error
    return list(table.column_names), list(enumerate(table.to_pylist(), start=1))
