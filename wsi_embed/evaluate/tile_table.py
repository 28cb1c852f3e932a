"""Table of labelled tile images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wsi_embed.encoder import Encoder
from wsi_embed.encoder.encode_images import encode_images
from wsi_embed.errors import UsageError
from wsi_embed.evaluate.seen import seen_in_training
from wsi_embed.evaluate.tile_set import SPLITS, Strings, TileFeatures, TileSet, choose_classes
from wsi_embed.inputs.columns import PATIENT, Rows, cell_text, first_of, patient_of
from wsi_embed.inputs.tables import read_table


@dataclass(frozen=True)
class TileTable:
    """Labelled tile images.

    Attributes:
        tiles: Labels, splits and groups of the tiles.
        paths: Files of the tiles, in the same order.
    """

    tiles: TileSet
    paths: list[Path]


def read_tile_table(
    source: Path,
    classes: Mapping[str, str] | None = None,
    *,
    column: str = "label",
    group: str | None = None,
    option: str = "tiles",
) -> TileTable:
    """Read a CSV, TSV or Parquet file of tile images.

    Its columns are `path` (relative to the table), a label, `split` (`train` or `test`, in upper or lower
    case; other rows are ignored), and optionally `group`, `patient` and `slide_id`. For folds (`group`), the
    rows of all splits are read, and the column `split` is not needed.

    Args:
        source: The table.
        classes: Names of the classes by label; other labels are ignored. By default every label is a class.
        column: Column of the labels.
        group: Column of the groups that folds are disjoint by; None for tiles with a split.
        option: Command-line option of the table, for messages.

    Raises:
        UsageError: If a column or a label is missing, a tile is listed twice, or its file does not exist.
    """
    sides = ("split", "group") if group is None else (group,)
    known = (("path",), (column,), *((name,) for name in sides), PATIENT, ("slide_id", "slide"))
    columns, rows = read_table(source, "table", known)
    needed = {"path": option, column: option, sides[0]: option if group is None else "group"}
    _check_columns(source, columns, needed)
    if group is None:
        rows = [(number, row) for number, row in rows if text(row, "split").lower() in SPLITS]
    _check_labels(source, rows, column)
    labels = choose_classes([text(row, column) for _, row in rows], classes or {}, source.name)
    kept = [(row, label) for (_, row), label in zip(rows, labels, strict=True) if label]
    names = [text(row, "path") for row, _ in kept]
    _check_files(source, names)

    def values(*names: str) -> Strings:
        return np.array([first_of({n: text(row, n) for n in names}, names) or "" for row, _ in kept], np.str_)

    patients = [patient_of({n: cell_text(row[n]) for n in PATIENT if n in row}) or "" for row, _ in kept]
    groups = [cell_text(row[group]) or "" for row, _ in kept] if group is not None else values("group")
    test = [text(row, "split").lower() == "test" and group is None for row, _ in kept]
    return TileTable(
        TileSet(
            source.name, names, np.array([label for _, label in kept], np.str_), np.array(test, np.bool_),
            np.array(groups, np.str_), values("slide_id", "slide"), np.array(patients, np.str_),
        ),
        [source.parent / name for name in names],
    )  # fmt: skip


def encode_table(table: TileTable, model: Encoder, batch_size: int = 32) -> TileFeatures:
    """Compute the features of the tiles of a table.

    Args:
        table: The tiles.
        model: The encoder.
        batch_size: Number of tiles to encode at once.

    Raises:
        UsageError: If the tiles cannot be evaluated. They are checked before encoding.
        TileError: If a tile cannot be read, or is smaller than the tiles of the model.
    """
    tiles = table.tiles
    tiles.check()
    test = [path for path, wanted in zip(table.paths, tiles.test.tolist(), strict=True) if wanted]
    seen, notes = seen_in_training(asdict(model.metadata), tiles.slides[tiles.test], test)
    features = encode_images(model, table.paths, batch_size).features
    return TileFeatures(tiles, features, seen, tuple(notes))


def text(row: Mapping[str, Any], column: str) -> str:
    """Return a value of a row as text, empty if there is none."""
    value = row.get(column)
    return "" if value is None else str(value).strip()


def _check_columns(source: Path, columns: Sequence[str], needed: Mapping[str, str]) -> None:
    """Check that a table has its columns, each needed by an option."""
    for name, option in needed.items():
        if name not in columns:
            has = ", ".join(columns) or "none"
            raise UsageError(f"no column {name!r}, which `{option}=` needs; it has {has}", where=source.name)


def _check_labels(source: Path, rows: Rows, column: str) -> None:
    for number, row in rows:
        if not text(row, column):
            raise UsageError(
                f"no {column}", where=f"{source.name}, row {number}", remedy="add it or leave the row out"
            )


def _check_files(source: Path, names: list[str]) -> None:
    seen = set()
    for name in names:
        if name in seen:
            raise UsageError(f"{name} is listed twice", where=source.name, remedy="keep one")
        seen.add(name)
        if not (source.parent / name).is_file():
            raise UsageError(f"{name} is not there; paths count from the table's folder", where=source.name)
