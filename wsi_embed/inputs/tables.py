"""Tables of slides or tiles: CSV, TSV and Parquet."""

from __future__ import annotations

import csv
from pathlib import Path

from wsi_embed.errors import MissingExtraError, UsageError
from wsi_embed.inputs.columns import PATIENT, Known, Rows, match_columns

MANIFEST_SUFFIXES = frozenset({".csv", ".tsv", ".parquet"})
MANIFEST_COLUMNS: Known = (("path",), ("slide_id",), PATIENT, ("mpp",), ("roi",))


def read_manifest(source: Path, known: Known = MANIFEST_COLUMNS) -> Rows:
    """Read the rows of a manifest (CSV, TSV, Parquet), each with its number in the file.

    Args:
        source: Manifest file.
        known: Columns that the caller uses, `path` among them.

    Raises:
        UsageError: If the file cannot be read, has no column `path`, or has a column whose name resembles
            that of a known one.
        MissingExtraError: If the file is Parquet, and pyarrow is not installed.
    """
    columns, rows = read_table(source, "manifest", known)
    if "path" not in columns:
        raise UsageError(
            f"{source}: a manifest needs a column `path` (optional: slide_id, patient, mpp, roi); "
            f"it has {', '.join(columns) or 'none'}"
        )
    return rows


def read_table(source: Path, kind: str, known: Known) -> tuple[list[str], Rows]:
    """Read columns and rows of a table (CSV, TSV, Parquet), each row with its number in the file.

    Args:
        source: Table file.
        kind: Kind of table, for messages.
        known: Columns that the caller uses; see `match_columns`.

    Raises:
        UsageError: If the file cannot be read, a row has values beyond the last column, or a known column
            occurs twice or has a name that only resembles it.
        MissingExtraError: If the file is Parquet, and pyarrow is not installed.
    """
    read = _read_parquet if source.suffix.lower() == ".parquet" else _read_csv
    return match_columns(*read(source, kind), known, source)


def _read_csv(source: Path, kind: str) -> tuple[list[str], Rows]:
    try:
        with source.open(newline="", encoding="utf-8-sig") as lines:
            delimiter = _delimiter(lines.readline())
            lines.seek(0)
            reader = csv.DictReader(lines, delimiter=delimiter, skipinitialspace=True)
            rows = [(reader.line_num, row) for row in reader]
            columns = list(reader.fieldnames or [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{source}: cannot be read as a CSV {kind} ({error})") from error
    for number, row in rows if columns else ():
        if any(value.strip() for value in row.pop(None, ())):  # a trailing delimiter is harmless
            raise UsageError(
                f"{source}, row {number}: more values than columns; "
                f"put values that hold a {delimiter!r} into quotes"
            )
    return columns, rows


def _delimiter(header: str) -> str:
    """Return the delimiter: spreadsheets write semicolons where the comma is the decimal sign, or tabs."""
    return max(",;\t", key=header.count)


def _read_parquet(source: Path, kind: str) -> tuple[list[str], Rows]:
    try:
        import pyarrow.parquet as parquet
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{source}: reading Parquet needs pyarrow: pip install 'wsi-embed[parquet]', or give a CSV"
        ) from error
    try:
        table = parquet.read_table(source)
    except Exception as error:
        raise UsageError(f"{source}: cannot be read as a Parquet {kind} ({error})") from error
    return list(table.column_names), list(enumerate(table.to_pylist(), start=1))
