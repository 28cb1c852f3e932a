"""Labelled tiles of a store, split into training and test by slide."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from wsi_embed.bags.damage import damage_named, left_out
from wsi_embed.bags.labels import LabelRow
from wsi_embed.bags.labels.match import Matcher, slide_facts
from wsi_embed.errors import StoreError, UsageError
from wsi_embed.evaluate.seen import seen_in_training
from wsi_embed.evaluate.store_labels import Codes, TileLabels
from wsi_embed.evaluate.tile_set import SPLITS, TileFeatures, TileSet
from wsi_embed.evaluate.tile_table import text
from wsi_embed.inputs.columns import PATIENT, SLIDE, cell_text, first_of, patient_of
from wsi_embed.inputs.tables import read_table
from wsi_embed.store import Store
from wsi_embed.util.seed import check_seed
from wsi_embed.util.text import counted, names_of


def read_splits(store: Store, source: Path) -> dict[str, str]:
    """Read the split (`train` or `test`) of slides from a table.

    Args:
        store: The store.
        source: A table with `slide_id` (or `patient`) and `split`. Rows with a split other than `train` or
            `test`, in upper or lower case, are ignored.

    Returns:
        Split of each slide by id.

    Raises:
        UsageError: If a column is missing, or a slide is in both splits.
    """
    columns, rows = read_table(source, "table", (SLIDE, PATIENT, ("split",)))
    if "split" not in columns or not {*SLIDE, *PATIENT} & {*columns}:
        raise UsageError(
            "`splits=` needs the columns `slide_id` (or `patient`) and `split` (train, test); it "
            f"has {', '.join(columns) or 'none'}",
            where=source.name,
        )
    matcher, found = Matcher(slide_facts(store)), dict[str, str]()
    for number, row in rows:
        cells = {name: text(row, name) for name in row}
        slide, split = first_of(cells, SLIDE), cells["split"].lower()
        patient = patient_of({name: cell_text(value) for name, value in row.items()})
        for slide_id in matcher.find(LabelRow(f"{source.name}, row {number}", slide, patient, None)):
            if split in SPLITS and found.setdefault(slide_id, split) != split:
                raise UsageError(
                    f"slide {slide_id} is in train and in test", where=f"{source.name}, row {number}"
                )
    return found


def store_tiles(
    store: Store, labels: TileLabels, splits: Mapping[str, str], *, max_tiles: int = 1000, seed: int = 0
) -> TileFeatures:
    """Read the labelled tiles of the slides with a split, with their features.

    Args:
        store: Store with the features.
        labels: Labels of its tiles.
        splits: Split of each slide by id.
        max_tiles: Maximum number of tiles per slide and class. If there are more, a random sample is taken.
        seed: Seed of the sample.

    Raises:
        UsageError: If no slide has both labels and a split.
        StoreError: If the store is damaged.
    """
    chosen = sorted(labels.codes.keys() & splits.keys())
    check_seed(seed)
    parts = {slide_id: _sample(labels.codes[slide_id], max_tiles, seed, slide_id) for slide_id in chosen}
    if not any(map(len, parts.values())):
        raise UsageError(
            f"no tile has both a label and a split: {counted(len(labels.codes), 'slide')} with labels, "
            f"{counted(len(splits), 'slide')} in `splits=`, {len(chosen)} in both"
        )
    names, features, slides, patients, codes = list[str](), [], list[str](), list[str](), []
    damaged = []
    for slide_id, rows in parts.items():
        try:
            bag = store[slide_id]
            with damage_named(slide_id):
                values, places = bag.features[:][rows], bag.coords[:][rows].tolist()
        except StoreError as error:
            damaged.append(left_out(slide_id, error))
            continue
        features.append(values)
        names += [f"{slide_id} ({x}, {y})" for x, y in places]
        codes.append(labels.codes[slide_id][rows])
        slides += [slide_id] * len(rows)
        patients += [bag.patient or ""] * len(rows)
    if not features:
        raise StoreError(damaged[0], where=store.name)
    test = np.array([splits[slide_id] == "test" for slide_id in slides])
    # a slide without a patient is a group of its own
    groups = np.array([p or s for p, s in zip(patients, slides, strict=True)], np.str_)
    tiles = TileSet(
        labels.source, names, np.array(labels.names, np.str_)[np.concatenate(codes)], test, groups,
        np.array(slides, np.str_), np.array(patients, np.str_),
    )  # fmt: skip
    seen, seen_notes = seen_in_training(store.attrs["model"], tiles.slides[test])
    return TileFeatures(
        tiles, np.concatenate(features), seen, (*damaged, *_notes(labels, splits, parts), *seen_notes)
    )


def _sample(codes: Codes, most: int, seed: int, slide_id: str) -> np.ndarray:
    """Return rows with a label, at most `most` of each class."""
    rng = np.random.default_rng((seed, zlib.crc32(slide_id.encode())))
    taken = []
    for code in np.unique(codes[codes >= 0]):
        rows = np.flatnonzero(codes == code)
        taken.append(rows if len(rows) <= most else rng.choice(rows, most, replace=False))
    return np.sort(np.concatenate(taken)) if taken else np.empty(0, np.intp)


def _notes(labels: TileLabels, splits: Mapping[str, str], parts: Mapping[str, np.ndarray]) -> list[str]:
    notes = list(labels.notes)
    if unsplit := sorted(labels.codes.keys() - splits.keys()):
        notes.append(
            f"{counted(len(unsplit), 'slide')} with labels but no split left out: {names_of(unsplit)}"
        )
    labelled = sum(int((labels.codes[slide_id] >= 0).sum()) for slide_id in parts)
    if (taken := sum(map(len, parts.values()))) < labelled:
        notes.append(
            f"a sample of {taken:,} of {labelled:,} labelled tiles: `max_tiles=` takes more of a slide"
        )
    return notes
