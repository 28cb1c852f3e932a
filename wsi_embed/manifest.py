"""Tables that list slides or tiles: CSV, TSV and Parquet."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from wsi_embed.errors import MissingExtraError, UsageError

MANIFEST_SUFFIXES = frozenset({".csv", ".tsv", ".parquet"})
MANIFEST_COLUMNS = ("path", "slide_id", "patient", "mpp", "roi")


def read_manifest(source: Path) -> list[tuple[int, dict[str, Any]]]:
    """Rows of a manifest (CSV, TSV, Parquet), each with its number in the file.

    Raises:
        UsageError: It cannot be read, or has no column `path`.
        MissingExtraError: It is Parquet, and pyarrow is not installed.
    """
    columns, rows = read_table(source, "manifest")
    if "path" not in columns:
        raise UsageError(
            f"{source}: a manifest needs a column `path` (optional: slide_id, patient, mpp, roi); "
            f"it has {', '.join(columns) or 'none'}"
        )
    return rows


def read_table(source: Path, kind: str) -> tuple[list[str], list[tuple[int, dict[str, Any]]]]:
    """Columns and rows of a table (CSV, TSV, Parquet), each row with its number in the file.

    Args:
        source: The file.
        kind: What it is, for the message.

    Raises:
        UsageError: It cannot be read.
        MissingExtraError: It is Parquet, and pyarrow is not installed.
    """
    read = _read_parquet if source.suffix.lower() == ".parquet" else _read_csv
    return read(source, kind)


def _read_csv(source: Path, kind: str) -> tuple[list[str], list[tuple[int, dict[str, Any]]]]:
    try:
        with source.open(newline="", encoding="utf-8-sig") as lines:
            delimiter = _delimiter(lines.readline())
            lines.seek(0)
            reader = csv.DictReader(lines, delimiter=delimiter)
            rows = [(reader.line_num, row) for row in reader]
            return list(reader.fieldnames or []), rows
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{source}: cannot be read as a CSV {kind} ({error})") from error


def _delimiter(header: str) -> str:
    """Spreadsheets write semicolons where a comma is the decimal sign, and tabs on request."""
    return max(",;\t", key=header.count)


def _read_parquet(source: Path, kind: str) -> tuple[list[str], list[tuple[int, dict[str, Any]]]]:
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
