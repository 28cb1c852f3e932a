"""Most similar tiles of each tile of an export, computed beforehand, because an export has no search."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from wsi_embed.bags.damage import damage_named
from wsi_embed.errors import UsageError
from wsi_embed.explore.feature_table import FeatureTable, Float32, open_features
from wsi_embed.store import Store
from wsi_embed.viewer.layers import Columns, Facts
from wsi_embed.viewer.shown_store import slide_key

# Tiles of an export up to which neighbours are computed: their number grows with its square.
MOST_TILES = 20_000
NEIGHBOURS = 12
BLOCK = 1024


def neighbour_layers(store: Store) -> Iterator[tuple[str, Columns, Facts]]:
    """Yield the most similar tiles of each tile, slide by slide.

    The columns have a row for each neighbour, the most similar first, tile by tile: `slide` (int32, index
    into the fact `slides`), `tile`, `x`, `y` (int32), `cosine` (float32), and `cluster` (int16) if the store
    has clusters. The fact `count` is the number of neighbours of each tile. Nothing is yielded for stores
    with more than 20,000 tiles, or less than two.

    Args:
        store: Store with the slides of the export.
    """
    tiles = sum(row.tiles for row in store.rows())
    if not 1 < tiles <= MOST_TILES:
        return
    try:
        table = open_features(store, in_memory=2**40)
    except UsageError:  # no slide has features that can be searched
        return
    count = min(NEIGHBOURS, len(table) - 1)
    if not count:
        return
    corners, clusters, slides = _tiles_of(store, table)
    lengths = np.where(table.lengths > 0, table.lengths, 1).astype(np.float32)
    unit = table.features / lengths[:, None]
    slide_of = np.repeat(np.arange(len(table.slide_ids), dtype=np.int32), np.diff(table.starts))
    for number, slide_id in enumerate(table.slide_ids):
        first, last = table.starts[number : number + 2].tolist()
        parts = [
            _nearest(unit, start, min(start + BLOCK, last), count) for start in range(first, last, BLOCK)
        ]
        rows, cosines = (np.concatenate(each).ravel() for each in zip(*parts, strict=True))
        columns: Columns = {
            "slide": slide_of[rows],
            "tile": (rows - table.starts[slide_of[rows]]).astype(np.int32),
            "x": corners[rows, 0],
            "y": corners[rows, 1],
            "cosine": cosines,
        }
        if clusters is not None:
            columns["cluster"] = clusters[rows]
        yield slide_id, columns, {"count": count, "slides": slides, "searched": len(table)}


def _tiles_of(
    store: Store, table: FeatureTable
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int16] | None, list[Facts]]:
    """Return corner and cluster of each row of a table, and what the page needs to know of its slides."""
    corners, clusters, slides = [], [], []
    for slide_id in table.slide_ids:
        bag = store[slide_id]
        with damage_named(slide_id):
            corners.append(np.asarray(bag.coords[:], np.int32))
            if bag.cluster is not None:
                clusters.append(np.asarray(bag.cluster[:], np.int16))
            extent = float(bag.attrs["extent"])
        slides.append({"key": slide_key(slide_id), "slide_id": slide_id, "extent": extent})
    complete = len(clusters) == len(corners)
    return np.concatenate(corners), np.concatenate(clusters) if complete else None, slides


def _nearest(unit: Float32, start: int, end: int, count: int) -> tuple[npt.NDArray[np.int64], Float32]:
    """Return the rows most similar to each row of a block, and their cosines, both [end - start, count]."""
    scores = unit[start:end] @ unit.T
    scores[np.arange(end - start), np.arange(start, end)] = -np.inf
    some = np.sort(np.argpartition(-scores, count - 1, axis=1)[:, :count], axis=1)
    cosines = np.take_along_axis(scores, some, 1)
    order = np.argsort(-cosines, axis=1, kind="stable")  # of equal ones the first row first
    return np.take_along_axis(some, order, 1), np.take_along_axis(cosines, order, 1).astype(np.float32)
