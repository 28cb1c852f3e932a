"""The result folder of an evaluation."""

from __future__ import annotations

import csv
import errno
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wsi_embed.errors import UsageError, WsiEmbedError
from wsi_embed.util.atomic_files import replacing
from wsi_embed.util.json_text import json_text
from wsi_embed.util.text import argument

# Spreadsheets take a text that begins with one of these for a formula; a number is none.
_FORMULA, _NUMBER = re.compile(r"[=+\-@\t\r]"), re.compile(r"[+-]?\d+(\.\d+)?")


def check_results_folder(folder: Path | None) -> None:
    """Check, before an evaluation, that its results can be written; nothing is created.

    Args:
        folder: The folder; None if nothing will be written.

    Raises:
        UsageError: If the folder is a file or cannot be written.
    """
    if folder is None:
        return
    path = folder.absolute()
    nearest = next(part for part in (path, *path.parents) if os.path.lexists(part))
    if not nearest.is_dir():
        reason = os.strerror(errno.ENOTDIR)
    elif not os.access(nearest, os.W_OK | os.X_OK):
        reason = os.strerror(errno.EACCES)
    else:
        return
    raise UsageError(
        f"cannot be written ({reason})", where=argument("out", folder), remedy="choose another folder"
    )


@contextmanager
def results_in(folder: Path) -> Iterator[None]:
    """Create a result folder, and report errors while writing to it in one line.

    Args:
        folder: The folder.

    Raises:
        WsiEmbedError: If the folder or a file in it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise WsiEmbedError(
            f"cannot be written ({error.strerror or error})", where=argument("out", folder)
        ) from error


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write plain values to a JSON file atomically.

    Raises:
        OSError: If the file cannot be written.
    """
    with replacing(path) as part:
        part.write_text(json_text(values, indent=2) + "\n", "utf-8")


def write_table(path: Path, rows: Iterable[Iterable[object]]) -> None:
    """Write rows to a CSV file atomically. A text that a spreadsheet would run as a formula is quoted.

    Args:
        path: The file.
        rows: The rows, of which the first is the header.

    Raises:
        OSError: If the file cannot be written.
    """
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([_cell(value) for value in row] for row in rows)


def _cell(value: object) -> object:
    """Return a value of a table; a formula gets the single quote by which spreadsheets know a text."""
    formula = isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value)
    return f"'{value}" if formula else value
