"""Classes of the tiles of a store, from annotated regions or a table."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wsi_embed.bags.damage import damage_named, left_out, sound_bags
from wsi_embed.bags.geometry import bag_grid
from wsi_embed.errors import SlideError, StoreError, UsageError
from wsi_embed.evaluate.tile_set import choose_classes
from wsi_embed.evaluate.tile_table import text
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.inputs.tables import read_table
from wsi_embed.regions import Polygon, slide_annotations, tile_classes, with_annotations
from wsi_embed.regions.misplaced import check_class_names
from wsi_embed.regions.polygons import OTHER_UNITS, SMALLER, class_key, too_small
from wsi_embed.store import Bag, Store
from wsi_embed.util.text import argument, counted, names_of

Codes = npt.NDArray[np.int16]


@dataclass(frozen=True)
class TileLabels:
    """Classes of the tiles of slides.

    Attributes:
        source: Name of the file or folder of the labels, for messages.
        names: Names of the classes.
        codes: Class of each tile by slide id, as an index into `names`, int16 [N]; -1 for no class.
        notes: Notes on data that was left out.
    """

    source: str
    names: tuple[str, ...]
    codes: dict[str, Codes]
    notes: tuple[str, ...] = ()


def labels_by_regions(
    store: Store, source: Path, classes: Mapping[str, str], rest: str | None = None
) -> TileLabels:
    """Label tiles by the annotated region that contains their centre.

    Args:
        store: Store with the tiles.
        source: A folder of annotation files named like the slides, or the file of a single slide.
        classes: Names of the tile classes by class of region. If regions of several classes contain a centre,
            the first class in the mapping counts. Case is ignored. A region with nested classes counts as the
            most specific one that is listed.
        rest: Name of the class of tiles outside all these regions; by default they have no class.

    Raises:
        UsageError: If no slide has a file, `classes` is empty, or a class has no region.
        SlideError: If a file cannot be read, or belongs to another slide.
        StoreError: If the store is damaged.
    """
    files, notes = _files(store, source)
    bags = {slide_id: store[slide_id] for slide_id in files}
    polygons = {slide_id: _polygons(bags[slide_id], file, notes) for slide_id, file in files.items()}
    wanted = {class_key(label): name for label, name in classes.items()}
    for slide_id, found in polygons.items():
        check_class_names(files[slide_id].name, found, wanted)
    _check_classes(
        wanted,
        Counter(class_key(c) for found in polygons.values() for p in found for c in p.classes or ("",)),
    )
    names = tuple(dict.fromkeys([*wanted.values(), *([rest] if rest else [])]))
    number = np.array([names.index(name) for name in wanted.values()] + [names.index(rest) if rest else -1])
    codes = {}
    for slide_id, found in polygons.items():
        layers = [[p for p in found if p.nearest(wanted) == key] for key in wanted]
        try:
            tiles = tile_classes(bag_grid(bags[slide_id]), layers)
        except SlideError as error:
            raise error.at(files[slide_id].name) from error
        except StoreError as error:
            notes.append(left_out(slide_id, error))
            continue
        codes[slide_id] = number[tiles].astype(np.int16)
    return TileLabels(source.name, names, codes, tuple(notes))


def labels_by_table(
    store: Store, source: Path, classes: Mapping[str, str] | None = None, *, column: str = "label"
) -> TileLabels:
    """Label tiles by a table with `slide_id`, `x`, `y` (corner of the tile, level-0 pixels) and labels.

    Rows without a label are ignored. `wsi-embed tile` writes such tables, without the labels.

    Args:
        store: Store with the tiles.
        source: The table.
        classes: Names of the classes by label; other labels are ignored. By default every label is a class.
        column: Column of the labels.

    Raises:
        UsageError: If a column is missing, a coordinate is not a number, or no row matches a tile.
        StoreError: If the store is damaged.
    """
    columns, rows = read_table(source, "table", (("slide_id",), ("x",), ("y",), (column,)))
    if absent := [name for name in ("slide_id", "x", "y", column) if name not in columns]:
        raise UsageError(
            f"no column {names_of(absent)}; it has {', '.join(columns) or 'none'}", where=source.name
        )
    given: dict[str, dict[tuple[int, int], str]] = defaultdict(dict)
    labels = choose_classes([text(row, column) for _, row in rows], classes or {}, source.name)
    for (number, row), label in zip(rows, labels, strict=True):
        if label:
            place = read_corner(f"{source.name}, row {number}", row)
            if given[text(row, "slide_id")].setdefault(place, label) != label:
                raise UsageError(
                    "that tile has another label above",
                    where=f"{source.name}, row {number}",
                    remedy="keep one",
                )
    names = tuple(sorted({label for tiles in given.values() for label in tiles.values()}))
    number_of = {name: number for number, name in enumerate(names)}
    codes, matched = {}, 0
    bags, damaged = sound_bags(store, [slide_id for slide_id in given if slide_id in store])
    for slide_id, bag in bags.items():
        tiles = given[slide_id]
        try:
            with damage_named(slide_id):
                places = map(tuple, bag.coords[:].tolist())
        except StoreError as error:
            damaged.append(left_out(slide_id, error))
        else:
            codes[slide_id] = np.array([number_of.get(tiles.get(p, ""), -1) for p in places], np.int16)
            matched += int((codes[slide_id] >= 0).sum())
    if not matched:
        raise UsageError(
            f"no row matches a tile of {store.name}", where=source.name, remedy="check slide_id, x, y"
        )
    lost = sum(map(len, given.values())) - matched
    notes = [f"{counted(lost, 'labelled tile')} of {source.name} not in the store"] if lost else []
    return TileLabels(source.name, names, codes, (*damaged, *notes))


def _files(store: Store, source: Path) -> tuple[dict[str, Path], list[str]]:
    """Return the annotation files by slide id, and a note on slides without one."""
    items = []
    bags, damaged = sound_bags(store, store)
    for slide_id, bag in bags.items():
        with damage_named(slide_id):
            name = str(bag.attrs["slide"])
        items.append(SlideInput(slide_id, Path(name), name))
    found = {item.slide_id: item.roi for item in with_annotations(items, source, "annotations")}
    files = {slide_id: file for slide_id, file in found.items() if file is not None}
    without = sorted(found.keys() - files.keys())
    if not files:
        raise UsageError(
            f"no file for any of {counted(len(items), 'slide')}; they are named like the slides, "
            "<slide id>.xml or .geojson",
            where=argument("annotations", source),
        )
    others = f"{counted(len(without), 'slide')} without annotations left out: {names_of(without)}"
    return files, [*damaged, *([others] if without else [])]


def _polygons(bag: Bag, file: Path, notes: list[str]) -> list[Polygon]:
    """Read the annotations of a slide, and append warnings about them to the notes."""
    with damage_named(bag.slide_id):
        size, bounds, extent = bag.attrs["size"], bag.attrs["bounds"], float(bag.attrs["extent"])
    annotations = slide_annotations(file, size, bounds)
    notes += annotations.warnings
    if too_small(annotations.polygons, (extent, extent)):
        notes.append(f"{file.name}: {SMALLER} ({extent:.0f} level-0 pixels); {OTHER_UNITS}")
    return annotations.polygons


def _check_classes(wanted: Iterable[str], there: Counter[str]) -> None:
    has = names_of((f"{name or 'no class'} ({n})" for name, n in sorted(there.items())), most=10)
    if not wanted:
        raise UsageError(
            f"name the classes, in order of precedence; the annotations have {has}", where="`classes=`"
        )
    if absent := [name for name in wanted if name not in there]:
        raise UsageError(
            f"no region of class {names_of(absent)}; the annotations have {has}", where="`classes=`"
        )


def read_corner(where: str, row: Mapping[str, object]) -> tuple[int, int]:
    """Return x and y of a row.

    Args:
        where: Name of the row, for the message.
        row: Row of a table of tiles.

    Raises:
        UsageError: If they are not whole numbers.
    """
    try:
        return int(text(row, "x")), int(text(row, "y"))
    except ValueError as error:
        raise UsageError("x and y are not whole numbers", where=where) from error
