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
    return _read_parquet(source) if source.suffix.lower() == ".parquet" else _read_csv(source)


def _read_csv(source: Path) -> list[tuple[int, dict[str, Any]]]:
    try:
        with source.open(newline="", encoding="utf-8-sig") as lines:
            delimiter = _delimiter(lines.readline())
            lines.seek(0)
            reader = csv.DictReader(lines, delimiter=delimiter)
            rows = [(reader.line_num, row) for row in reader]
            _check_columns(source, list(reader.fieldnames or []))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{source}: cannot be read as a CSV manifest ({error})") from error
    return rows


def _delimiter(header: str) -> str:
    """Spreadsheets write semicolons where a comma is the decimal sign, and tabs on request."""
    return max(",;\t", key=header.count)


def _read_parquet(source: Path) -> list[tuple[int, dict[str, Any]]]:
    try:
        import pyarrow.parquet as parquet
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{source}: reading Parquet needs pyarrow: pip install 'wsi-embed[parquet]', or give a CSV"
        ) from error
    try:
        table = parquet.read_table(source)
    except Exception as error:
        raise UsageError(f"{source}: cannot be read as a Parquet manifest ({error})") from error
    _check_columns(source, table.column_names)
    return list(enumerate(table.to_pylist(), start=1))


def _check_columns(source: Path, columns: list[str]) -> None:
    if "path" not in columns:
        raise UsageError(
            f"{source}: a manifest needs a column `path` (optional: slide_id, patient, mpp, roi); "
            f"it has {', '.join(columns) or 'none'}"
        )
