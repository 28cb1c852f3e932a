"""Tile labels from named clusters, as a table for evaluation and supervised training."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from wsi_embed.bags.bag import Bag
from wsi_embed.bags.damage import damage_named, left_out, sound_bags
from wsi_embed.errors import StoreError, UsageError
from wsi_embed.evaluate.store_labels import read_corner
from wsi_embed.inputs.tables import read_table
from wsi_embed.store import Store
from wsi_embed.util.atomic_files import replacing
from wsi_embed.util.text import argument, names_of

COLUMNS = ("slide_id", "patient", "x", "y", "label", "cluster", "confidence")
IMAGE_COLUMNS = ("path", "slide_id", "x", "y")
Images = Mapping[tuple[str, int, int], str]


@dataclass(frozen=True)
class ExportedLabels:
    """Result of `export_labels`.

    Attributes:
        tiles: Number of tiles of each label, the most frequent first.
        slides: Number of slides with labelled tiles.
        notes: Lines on slides that are left out.
    """

    tiles: dict[str, int]
    slides: int
    notes: tuple[str, ...] = ()


def export_labels(
    store: Store, file: str | Path, *, images: str | Path | None = None, min_confidence: float = 0.0
) -> ExportedLabels:
    """Write the tiles of all clusters that have a name, with the name as their label.

    The columns are `slide_id`, `patient`, `x`, `y` (top-left corner, level-0 pixels), `label`, `cluster` and
    `confidence`: what `wsi-embed eval` takes as tiles of a store. With images of the tiles there is a column
    `path` as well, as for `wsi-embed train --recipe supervised`, and only tiles with an image are written.

    Args:
        store: Store, opened with the names of its clusters.
        file: CSV file; an existing one is replaced.
        images: `tiles.csv` of `wsi-embed tile`, made with the same resolution and tile size.
        min_confidence: Tiles of lower cluster confidence are left out, 0 to 1.

    Raises:
        UsageError: If no cluster has a name, no tile is in such a cluster or has an image, or a file cannot
            be read or written.

    Example:
        >>> from wsi_embed.bags.cluster_edits import ClusterNamesFile
        >>> from wsi_embed.explore import export_labels
        >>> store = wsi_embed.open_store("feats.zarr")
        >>> names = ClusterNamesFile(store.names_path, store.clusters, store.model_id)
        >>> state = names.rename(range(store.clusters), "tissue")
        >>> named = wsi_embed.open_store("feats.zarr", clusters=store.names_path)
        >>> found = export_labels(named, "labels.csv")
        >>> list(found.tiles), found.slides
        (['tissue'], 2)
    """
    file, images = Path(file), None if images is None else Path(images)
    if file.suffix.lower() != ".csv":
        raise UsageError("labels are written as CSV", where=file, remedy="choose a name that ends in .csv")
    if not 0 <= min_confidence <= 1:
        raise UsageError("0 to 1 is possible", where=argument("min_confidence", min_confidence))
    if not store.cluster_names.names:
        raise UsageError(
            "no cluster has a name", where=store.name, remedy="name them first (docs/clusters.md)"
        )
    found = None if images is None else _read_images(images, file)
    counts: Counter[str] = Counter()
    bags, notes = sound_bags(store, store)
    slides = 0
    try:
        with replacing(file) as part, part.open("w", encoding="utf-8", newline="") as out:
            table = csv.writer(out, lineterminator="\n")
            table.writerow(COLUMNS if found is None else ("path", *COLUMNS))
            for slide_id, bag in bags.items():
                try:
                    rows = list(_rows(bag, found, min_confidence))
                except StoreError as error:
                    notes.append(left_out(slide_id, error))
                    continue
                table.writerows(rows)
                of_slide = Counter(str(row[-3]) for row in rows)
                slides, counts = slides + bool(rows), counts + of_slide
            if not counts:
                raise _no_tiles(store, images)
    except OSError as error:
        raise UsageError(
            f"cannot be written ({error.strerror})", where=file, remedy="choose another place"
        ) from error
    return ExportedLabels(dict(counts.most_common()), slides, tuple(notes))


def _rows(bag: Bag, images: Images | None, min_confidence: float) -> Iterator[tuple[object, ...]]:
    """Yield the row of each tile of a bag that has a label."""
    with damage_named(bag.slide_id):
        if bag.cluster is None:
            raise UsageError("the model that made this store has no clusters", where=bag.slide_id)
        coords, clusters = bag.coords[:].tolist(), bag.cluster[:].tolist()
        sure = bag.cluster_confidence
        confidences = [None] * len(clusters) if sure is None else sure[:].tolist()
        names = bag.cluster_names.names
        for (x, y), cluster, confidence in zip(coords, clusters, confidences, strict=True):
            if cluster not in names or (confidence is not None and confidence < min_confidence):
                continue
            shown = "" if confidence is None else f"{confidence:.4f}"
            row = (bag.slide_id, bag.patient or "", x, y, names[cluster], cluster, shown)
            if images is None:
                yield row
            elif path := images.get((bag.slide_id, x, y)):
                yield (path, *row)


def _read_images(source: Path, file: Path) -> Images:
    """Return the path of the image of each tile, relative to the folder of the labels."""
    columns, rows = read_table(source, "table", tuple((name,) for name in IMAGE_COLUMNS))
    if absent := [name for name in IMAGE_COLUMNS if name not in columns]:
        raise UsageError(
            f"no column {names_of(absent)}; it has {', '.join(columns) or 'none'}",
            where=source.name,
            remedy="give the tiles.csv of wsi-embed tile",
        )
    base = Path(os.path.relpath(source.parent.resolve(), file.parent.resolve()))
    found = {}
    for number, row in rows:
        corner = read_corner(f"{source.name}, row {number}", row)
        found[str(row["slide_id"]).strip(), *corner] = (base / str(row["path"]).strip()).as_posix()
    return found


def _no_tiles(store: Store, images: Path | None) -> UsageError:
    if images is None:
        return UsageError("no tile is in a cluster with a name", where=store.name)
    return UsageError(
        f"lists no tile of {store.name} that is in a cluster with a name",
        where=images,
        remedy="cut the tiles with the resolution, tile size and slides of the store",
    )
