"""Tables of labels: a CSV file, a data frame or a mapping, read into rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from wsi_embed.errors import UsageError
from wsi_embed.inputs.columns import (
    PATIENT,
    SLIDE,
    Known,
    Rows,
    cell_text,
    first_of,
    match_columns,
    patient_of,
)
from wsi_embed.inputs.tables import read_table
from wsi_embed.util.text import argument

By = Literal["slide", "patient"]
# A file, a mapping from slide id (or patient) to label, or a data frame of pandas or polars.
LabelSource = str | Path | Mapping[str, Any] | Any

LABEL = ("label",)


@dataclass(frozen=True)
class LabelRow:
    """Label of a slide, or of all slides of a patient.

    Attributes:
        where: Table and row, for messages.
        slide: Slide id or file name, as in the table; None if the row names only a patient.
        patient: Patient of the slide.
        label: Name of the class, or numbers as text; None if the cell is empty.
        split: `train`, `test`, ...
        fold: Number of the fold in which the bag is tested.
        values: Numbers instead of a class.
    """

    where: str
    slide: str | None
    patient: str | None
    label: str | None
    split: str | None = None
    fold: int | None = None
    values: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """Name of the slide, or else of the patient."""
        return self.slide or self.patient or ""


def read_labels(source: LabelSource, by: By = "slide") -> list[LabelRow]:
    """Read a table of labels.

    Args:
        source: A CSV, TSV or Parquet file or a data frame with a column `slide_id`, `slide` or `patient`, a
            column `label`, and optionally `split` and `fold`; or a mapping from id to label.
        by: Whether the keys of a mapping are slides or patients.

    Raises:
        UsageError: If the table cannot be read, lacks a column, or has a row that names no slide and no
            patient.
        MissingExtraError: If the table is Parquet, and pyarrow is not installed.
    """
    return [row for row, _ in read_cells(source, by, LABEL)]


def read_cells(
    source: LabelSource, by: By, targets: Sequence[str]
) -> list[tuple[LabelRow, dict[str, str | None]]]:
    """Read a table with other columns in place of `label`.

    Args:
        source: A file, a data frame or a mapping, as for `read_labels`.
        by: Whether the keys of a mapping are slides or patients.
        targets: Columns that the table must have.

    Returns:
        Each row, and its cells by column, None if empty. The label is the cell of the first target.

    Raises:
        UsageError: If the table cannot be read, lacks a column, or has a row that names no slide and no
            patient.
        MissingExtraError: If the table is Parquet, and pyarrow is not installed.
    """
    if by not in ("slide", "patient"):
        raise UsageError("choose slide or patient", where=argument("by", by))
    name = source_name(source)
    known: Known = (SLIDE, PATIENT, *((target,) for target in targets), ("split",), ("fold",))
    columns, rows = _table(source, by, name, known)
    if not {*targets} <= {*columns} or not {*SLIDE, *PATIENT} & {*columns}:
        *some, last = ("`slide_id` (or `patient`)", *(f"`{target}`" for target in targets))
        raise UsageError(
            f"labels need the columns {', '.join(some)} and {last} (optional: patient, "
            f"split, fold); it has {', '.join(columns) or 'none'}",
            where=name,
        )
    return [_row(f"{name}, row {number}", values, targets[0]) for number, values in rows]


def source_name(source: LabelSource) -> str:
    """Return the name of a table, for messages."""
    return str(source) if isinstance(source, str | Path) else "labels"


def _table(source: LabelSource, by: By, name: str, known: Known) -> tuple[list[str], Rows]:
    if isinstance(source, str | Path):
        return read_table(Path(source), "table", known)
    if hasattr(source, "to_frame") and hasattr(source, "items"):  # a pandas Series
        source = dict(source.items())
    if isinstance(source, Mapping):
        records = [{by: key, "label": label} for key, label in source.items()]
        return [by, "label"], list(enumerate(records, start=1))
    if hasattr(source, "to_dicts"):  # polars
        return _matched(source.columns, source.to_dicts(), known, name)
    if hasattr(source, "columns") and hasattr(source, "to_dict"):  # pandas
        frame = source.reset_index() if source.index.name else source
        return _matched(frame.columns, frame.to_dict("records"), known, name)
    raise UsageError(f"labels are a file, a data frame or a mapping, not {type(source).__name__}")


def _matched(
    columns: Iterable[Any], records: Iterable[Mapping[Any, Any]], known: Known, name: str
) -> tuple[list[str], Rows]:
    """Return columns and rows of a data frame, whose column names may be of any type."""
    rows = ({str(column): value for column, value in record.items()} for record in records)
    return match_columns(list(map(str, columns)), enumerate(rows, start=1), known, name)


def _row(where: str, values: Mapping[str, Any], target: str) -> tuple[LabelRow, dict[str, str | None]]:
    cells = {column: _text(value) for column, value in values.items()}
    slide = first_of(cells, SLIDE)
    patient = patient_of({column: cell_text(value) for column, value in values.items()})
    if slide is None and patient is None:
        raise UsageError(
            "names neither a slide nor a patient", where=where, remedy="fill it in, or remove the row"
        )
    fold = _fold(where, cells.get("fold"))
    return LabelRow(where, slide, patient, cells.get(target), cells.get("split"), fold), cells


def _fold(where: str, text: str | None) -> int | None:
    if text is None:
        return None
    whole = text.removesuffix(".0")  # a column with empty cells holds floats
    if not whole.isdecimal():
        raise UsageError(f"fold {text!r} is not a number from 0 on", where=where)
    return int(whole)


def _text(value: Any) -> str | None:
    """Return a cell as text, None if it is empty.

    Whole numbers are written without a decimal point: a column with empty cells holds them as floats.
    """
    if hasattr(value, "item"):  # a NumPy scalar
        value = value.item()
    if value is None or value != value:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() or None
