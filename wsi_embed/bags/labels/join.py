"""Joining of labels to the bags of a store, with checks of the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from wsi_embed.bags.labels.bags import LabelledBag, LabelledBags, named
from wsi_embed.bags.labels.match import Matcher, SlideFacts, slide_facts
from wsi_embed.bags.labels.table import By, LabelRow, LabelSource, read_labels, source_name
from wsi_embed.bags.source import BagSource
from wsi_embed.errors import UsageError
from wsi_embed.util.text import argument

Missing = Literal["fail", "skip"]


def join_labels(
    store: BagSource,
    labels: LabelSource,
    *,
    by: By = "slide",
    missing: Missing = "fail",
    classes: Sequence[str] | None = None,
) -> LabelledBags:
    """Join labels to the bags of a store.

    A row is matched by slide id, by file name of the slide with or without extension, or, if it names no
    slide, by patient. The patient of a slide is the table's, else the store's.

    Args:
        store: Store of the slides.
        labels: A CSV, TSV or Parquet file, a data frame, or a mapping from id to label; see `read_labels`.
        by: Whether a bag is a slide, or all labelled slides of a patient.
        missing: Handling of labels without a slide, slides without a label and bags without tiles: `fail`, or
            `skip`, which lists them in `notes`.
        classes: Names of the classes, in order; those of the table, sorted, by default. If given, the table
            may contain only one class.

    Raises:
        UsageError: If the table cannot be read or contradicts itself or the store, a bag or a label lacks the
            other, or there is only one class.
        MissingExtraError: If the table is Parquet, and pyarrow is not installed.

    Example:
        >>> import wsi_embed
        >>> store = wsi_embed.open_store("feats.zarr")
        >>> labels = {slide_id: "benign" for slide_id in store}
        >>> bags = wsi_embed.join_labels(store, labels, classes=["benign", "malignant"])
        >>> set(bags.targets.tolist())
        {0}
    """
    name = source_name(labels)
    kept, notes = bags_of_rows(store, read_labels(labels, by), name, by, missing)
    return LabelledBags(kept, _classes(kept, classes, name), by, notes)


def bags_of_rows(
    store: BagSource, rows: Sequence[LabelRow], name: str, by: By, missing: Missing
) -> tuple[tuple[LabelledBag, ...], tuple[str, ...]]:
    """Match rows of a table to the slides of a store.

    Args:
        store: Store of the slides.
        rows: The rows.
        name: Name of the table, for messages.
        by: Whether a bag is a slide, or all labelled slides of a patient.
        missing: Handling of rows and slides that lack the other, as for `join_labels`.

    Returns:
        The bags that have a label and tiles, and notes on what was left out.

    Raises:
        UsageError: If the rows contradict each other or the store, or a bag or a label lacks the other.
    """
    if missing not in ("fail", "skip"):
        raise UsageError("choose fail or skip", where=argument("missing", missing))
    slides = slide_facts(store)
    found, absent = _rows_of_slides(rows, Matcher(slides))
    bags = [_bag(slide_id, row, slides[slide_id]) for slide_id, row in sorted(found.items())]
    if by == "patient":
        bags = _of_patients(bags, name)
    empty = {bag.id for bag in bags if all(slides[slide_id].empty for slide_id in bag.slides)}
    kept = tuple(bag for bag in bags if bag.id not in empty)
    if not kept:
        raise UsageError(
            f"no label matches a {by} with tiles in {store.where}: labels name "
            f"{named(absent or sorted(empty))}, the store has {named(slides)}",
            where=name,
            remedy="give slide ids, file names or patients that the store knows",
        )
    odd = {
        f"labels of slides or patients that {store.name} lacks": absent,
        "slides without a label": [slide_id for slide_id in slides if slide_id not in found],
        f"{by}s without tiles": sorted(empty),
    }
    notes = tuple(f"{what}: {named(names)}" for what, names in odd.items() if names)
    if notes and missing == "fail":
        raise UsageError(
            "; ".join(notes), where=name, remedy="correct the table, or go on without them: `missing='skip'`"
        )
    return kept, tuple(f"left out: {note}" for note in notes)


def _rows_of_slides(rows: Sequence[LabelRow], matcher: Matcher) -> tuple[dict[str, LabelRow], list[str]]:
    """Return the row of each slide by id, and the names in the table that are not in the store."""
    found: dict[str, LabelRow] = {}
    absent = []
    for row in rows:
        if row.label is None:
            continue
        ids = matcher.find(row)
        if not ids:
            absent.append(row.name)
        for slide_id in ids:
            first = found.setdefault(slide_id, row)
            _check_same(slide_id, first, row)
            if first.patient is None:
                found[slide_id] = row
    return found, list(dict.fromkeys(absent))


def _check_same(slide_id: str, first: LabelRow, second: LabelRow) -> None:
    for what in ("label", "split", "fold", "patient"):
        a, b = getattr(first, what), getattr(second, what)
        if a != b and not (what == "patient" and None in (a, b)):
            raise UsageError(
                f"slide {slide_id} has the {what} {b}, but {a} in {first.where}",
                where=second.where,
                remedy="remove one of them",
            )


def _bag(slide_id: str, row: LabelRow, facts: SlideFacts) -> LabelledBag:
    if row.patient and facts.patient and row.patient != facts.patient:
        raise UsageError(
            f"slide {slide_id} is of patient {row.patient}, in the store of {facts.patient}",
            where=row.where,
            remedy="correct the table, or leave its column out",
        )
    assert row.label is not None, "rows without one are left out"
    patient = row.patient or facts.patient
    return LabelledBag(slide_id, (slide_id,), patient, row.label, row.split, row.fold, row.values)


def _of_patients(bags: Sequence[LabelledBag], name: str) -> list[LabelledBag]:
    """Join the slides of each patient to one bag, sorted by patient."""
    found: dict[str, LabelledBag] = {}
    for bag in bags:
        if bag.patient is None:
            raise UsageError(
                f"slide {bag.id} has no patient",
                where=name,
                remedy="give a column `patient`, or use `by='slide'`",
            )
        first = found.setdefault(bag.patient, replace(bag, id=bag.patient, slides=()))
        for what in ("label", "split", "fold"):
            a, b = getattr(first, what), getattr(bag, what)
            if a != b:
                raise UsageError(
                    f"patient {bag.patient} has the {what} {a} ({first.slides[0]}) and {b} ({bag.id})",
                    where=name,
                    remedy="correct the table, or use `by='slide'`",
                )
        found[bag.patient] = replace(first, slides=(*first.slides, bag.id))
    return [found[patient] for patient in sorted(found)]


def _classes(bags: Sequence[LabelledBag], given: Sequence[str] | None, name: str) -> tuple[str, ...]:
    there = {bag.label for bag in bags}
    if given is not None:
        classes = tuple(map(str, given))
        if unknown := sorted(there - set(classes)):
            raise UsageError(
                f"{named(unknown)} is not among the classes that were given, {named(classes)}", where=name
            )
        return classes
    if len(there) == 1:
        raise UsageError(
            f"every bag has the label {there.pop()!r}; two classes are needed",
            where=name,
            remedy="check the column `label`",
        )
    numbers = all(label.lstrip("-").isdecimal() for label in there)
    return tuple(sorted(there, key=int if numbers else str))
