"""`metrics.csv`: figures by step, of which a resumed run keeps those it has not yet to repeat."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from wsi_embed.util.atomic_files import replacing


class MetricsFile:
    """A CSV that grows by rows; a new column makes it be written anew.

    Args:
        path: The file.
        steps: Rows of later steps are dropped: a run that goes on from a checkpoint makes them again.
    """

    def __init__(self, path: Path, steps: int) -> None:
        self.path = path
        self.rows = [row for row in read_metrics(path) if row["step"] <= steps] if path.exists() else []
        self._columns = list(dict.fromkeys(name for row in self.rows for name in row))
        if path.exists():
            self._rewrite()

    def append(self, row: Mapping[str, float]) -> None:
        """Add a row."""
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
    """Rows of a `metrics.csv`; what a row does not have is left out."""
    with path.open(newline="", encoding="utf-8") as lines:
        return [{name: float(text) for name, text in row.items() if text} for row in csv.DictReader(lines)]


def mean_row(rows: list[dict[str, float]]) -> dict[str, float]:
    """Means of what the rows have."""
    names = dict.fromkeys(name for row in rows for name in row)
    found = {name: [row[name] for row in rows if name in row] for name in names}
    return {name: float(f"{sum(values) / len(values):.6g}") for name, values in found.items()}


def _text(row: Mapping[str, float]) -> dict[str, str]:
    return {name: f"{value:.6g}" if value != int(value) else str(int(value)) for name, value in row.items()}
