"""`metrics.csv`: figures by step. A resumed run drops the rows that it will compute again."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from wsi_embed.util.atomic_files import replacing


class MetricsFile:
    """CSV file to which rows are appended. It is rewritten when a row has a new column.

    Args:
        path: The file. An existing one is continued.
        steps: Last step to keep. Later rows are dropped: a run that resumes from a checkpoint repeats them.
    """

    def __init__(self, path: Path, steps: int) -> None:
        self.path = path
        self.rows = [row for row in read_metrics(path) if row["step"] <= steps] if path.exists() else []
        self._columns = list(dict.fromkeys(name for row in self.rows for name in row))
        if path.exists():
            self._rewrite()

    def append(self, row: Mapping[str, float]) -> None:
        """Append a row."""
        self.rows.append(dict(row))
        new = [name for name in row if name not in self._columns]
        if new or not self.path.exists():
            self._columns += new
            self._rewrite()
            return
        with self.path.open("a", newline="", encoding="utf-8") as out:
            csv.DictWriter(out, self._columns).writerow(_text(row))

    def _rewrite(self) -> None:
        with replacing(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
            writer = csv.DictWriter(out, self._columns)
            writer.writeheader()
            writer.writerows(_text(row) for row in self.rows)


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Read the rows of a `metrics.csv`, without empty cells."""
    with path.open(newline="", encoding="utf-8") as lines:
        return [{name: float(text) for name, text in row.items() if text} for row in csv.DictReader(lines)]


def mean_row(rows: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean of every column, over the rows that have it."""
    names = dict.fromkeys(name for row in rows for name in row)
    found = {name: [row[name] for row in rows if name in row] for name in names}
    return {name: float(f"{sum(values) / len(values):.6g}") for name, values in found.items()}


def _text(row: Mapping[str, float]) -> dict[str, str]:
    return {name: f"{value:.6g}" if value != int(value) else str(int(value)) for name, value in row.items()}
