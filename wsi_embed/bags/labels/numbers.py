"""Numbers as the targets of bags: times and events of survival, or the value of a regression."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from wsi_embed.bags.labels.bags import LabelledBags
from wsi_embed.bags.labels.join import Missing, bags_of_rows
from wsi_embed.bags.labels.table import By, LabelRow, LabelSource, read_cells, source_name
from wsi_embed.bags.source import BagSource
from wsi_embed.errors import UsageError
from wsi_embed.inputs.columns import cell_text

# Values of the column of events, in lower case: censored and observed.
EVENTS = {"0": 0.0, "1": 1.0, "false": 0.0, "true": 1.0}


def join_survival(
    store: BagSource,
    table: LabelSource,
    *,
    time: str = "time",
    event: str = "event",
    by: By = "slide",
    missing: Missing = "fail",
) -> LabelledBags:
    """Join times and events to the bags of a store, as `join_labels` does with classes.

    Args:
        store: Store of the slides.
        table: A CSV, TSV or Parquet file, or a data frame. A row with neither time nor event has no label.
        time: Column with the time to the event or to the end of observation, in any unit.
        event: Column with 1 if the event was observed, and 0 if the time is censored.
        by: Whether a bag is a slide, or all labelled slides of a patient.
        missing: Handling of rows and slides that lack the other, as for `join_labels`.

    Returns:
        Bags with the values (time, event).

    Raises:
        UsageError: If the table cannot be read or contradicts itself or the store, a time is negative or
            missing, an event is neither 0 nor 1, or no event was observed.
        MissingExtraError: If the table is Parquet, and pyarrow is not installed.
    """
    name = source_name(table)
    if time == event:
        raise UsageError(f"time and event are the same column, `{time}`", where=name)
    bags = _joined(store, table, (time, event), by, missing)
    if not bags.values[:, 1].any():
        raise UsageError(
            f"no bag has an event, all values of `{event}` are 0", where=name, remedy="check that column"
        )
    return bags


def join_values(
    store: BagSource,
    table: LabelSource,
    *,
    target: str = "target",
    by: By = "slide",
    missing: Missing = "fail",
) -> LabelledBags:
    """Join a number to each bag of a store, as `join_labels` does with classes.

    Args:
        store: Store of the slides.
        table: A CSV, TSV or Parquet file, or a data frame. A row with an empty target has no label.
        target: Column with the number.
        by: Whether a bag is a slide, or all labelled slides of a patient.
        missing: Handling of rows and slides that lack the other, as for `join_labels`.

    Returns:
        Bags with one value each.

    Raises:
        UsageError: If the table cannot be read or contradicts itself or the store, a value is not a number,
            or all values are equal.
        MissingExtraError: If the table is Parquet, and pyarrow is not installed.
    """
    bags = _joined(store, table, (target,), by, missing)
    if len({bag.values for bag in bags}) == 1:
        raise UsageError(
            f"every bag has the {target} {bags[0].label}: there is nothing to predict",
            where=source_name(table),
            remedy=f"check the column `{target}`",
        )
    return bags


def _joined(
    store: BagSource, table: LabelSource, columns: Sequence[str], by: By, missing: Missing
) -> LabelledBags:
    rows = [_numbered(row, cells, columns) for row, cells in read_cells(table, by, columns)]
    bags, notes = bags_of_rows(store, rows, source_name(table), by, missing)
    return LabelledBags(bags, (), by, notes, columns=tuple(columns))


def _numbered(row: LabelRow, cells: Mapping[str, str | None], columns: Sequence[str]) -> LabelRow:
    """Return a row with the numbers in some columns; without a label if all of them are empty."""
    texts = {column: cell_text(cells.get(column)) for column in columns}
    if not any(texts.values()):
        return replace(row, label=None)
    for column, text in texts.items():
        if text is None:
            raise UsageError(f"no {column}", where=row.where, remedy="fill it in, or empty the whole row")
    first, *rest = ((column, text) for column, text in texts.items() if text is not None)
    value = _number(row.where, *first)
    if not rest:
        return replace(row, label=f"{value:g}", values=(value,))
    if value < 0:
        raise UsageError(f"{first[0]} {first[1]} is negative", where=row.where, remedy="correct it")
    observed = _event(row.where, *rest[0])
    words = "event" if observed else "censored"
    return replace(row, label=f"{value:g} ({words})", values=(value, observed))


def _number(where: str, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(
            f"{column} {text!r} is not a number",
            where=where,
            remedy="write 12.5, or leave the cell empty if it is unknown",
        )
    return value


def _event(where: str, column: str, text: str) -> float:
    value = EVENTS.get(text.lower().removesuffix(".0"))
    if value is None:
        raise UsageError(
            f"{column} {text!r} is neither 0 nor 1",
            where=where,
            remedy="write 1 for an observed event, 0 for a censored time",
        )
    return value
