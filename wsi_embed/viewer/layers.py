"""Layers of a slide as numbers: tiles with their clusters, outlines, contours and attention."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_embed.bags.bag import Bag
from wsi_embed.bags.cluster_names import ClusterNames
from wsi_embed.bags.damage import damage_named
from wsi_embed.bags.geometry import lattice_cells
from wsi_embed.errors import StoreError
from wsi_embed.plot import cluster_colour
from wsi_embed.plot.annotations import ClassColours
from wsi_embed.plot.attention import rank_colours, ranks, slide_heat
from wsi_embed.plot.bag_tiles import read_tiles
from wsi_embed.plot.colours import OUTLINE, Colour
from wsi_embed.regions import Polygon, Ring
from wsi_embed.regions.outlines import mask_outlines
from wsi_embed.store.attention import SlideAttention

Columns = dict[str, npt.NDArray[Any]]
Facts = dict[str, Any]


def tile_layer(bag: Bag) -> tuple[Columns, Facts]:
    """Return the tiles of a slide.

    Returns:
        Columns `column`, `row` (int32, lattice), `x`, `y` (int32, level-0 pixels), and `cluster` (int16) and
        `confidence` (uint8, 255 for 1) if the store has them; facts `origin` and `step` of the lattice's
        cells, and `extent` of a tile, level-0 pixels.

    Raises:
        StoreError: If the bag is damaged.
    """
    tiles = read_tiles(bag)
    with damage_named(bag.slide_id):
        coords = np.asarray(bag.coords[:], np.int32)
        columns: Columns = {
            "column": tiles.grid.grid[:, 1].astype(np.int32),
            "row": tiles.grid.grid[:, 0].astype(np.int32),
            "x": coords[:, 0],
            "y": coords[:, 1],
        }
        if tiles.cluster is not None:
            columns["cluster"] = tiles.cluster.astype(np.int16)
        if tiles.cluster is not None and bag.cluster_confidence is not None:
            confidence = np.nan_to_num(np.asarray(bag.cluster_confidence[:], np.float32))
            columns["confidence"] = np.rint(255 * confidence.clip(0, 1)).astype(np.uint8)
        extent = float(bag.attrs["extent"])
    origin, step = lattice_cells(tiles.grid)
    return columns, {"origin": origin.tolist(), "step": step.tolist(), "extent": extent}


def tissue_layer(bag: Bag) -> tuple[Columns, Facts]:
    """Return the outline of the tissue mask; no rings if the store has no mask."""
    tiles = read_tiles(bag)
    pieces = [] if tiles.tissue is None else mask_outlines(tiles.tissue, tiles.tissue_scale)
    rings = [ring for piece in pieces for ring in piece]
    return _rings(rings), {"colour": hex_colour(OUTLINE), "known": tiles.tissue is not None}


def contour_layer(polygons: Sequence[Polygon], colours: ClassColours) -> tuple[Columns, Facts]:
    """Return annotated areas, with the number of the class of each ring.

    Args:
        polygons: Areas in level-0 pixels.
        colours: Colour of each class.
    """
    labels = [label for label in colours if label in {polygon.label for polygon in polygons}]
    number = {label: index for index, label in enumerate(labels)}
    rings = [(ring, number[polygon.label]) for polygon in polygons for ring in polygon.rings]
    columns = _rings([ring for ring, _ in rings])
    columns["ring_class"] = np.array([index for _, index in rings], np.uint16)
    classes = [{"name": label or "annotation", "colour": hex_colour(colours[label])} for label in labels]
    return columns, {"classes": classes}


def attention_layer(found: SlideAttention, bag: Bag, method: str) -> tuple[Columns, Facts]:
    """Return the rank of the attention of each tile, uint8 [N] for each class, 255 for the highest.

    Args:
        found: The attention.
        bag: Bag of the slide.
        method: Method that produced the attention.

    Raises:
        StoreError: If the attention is for other tiles than those of the bag.
    """
    shown = found.predicted if found.predicted in found.columns else found.columns[0]
    heat = slide_heat(found, bag, method, shown)
    columns: Columns = {}
    for index in range(len(found.columns)):
        columns[f"rank{index}"] = np.rint(255 * ranks(found.attention[:, index])).astype(np.uint8)
    palette = [hex_colour((r, g, b)) for r, g, b in rank_colours(np.arange(256) / 255).tolist()]
    return columns, {
        "classes": list(found.columns),
        "shown": found.columns.index(shown),
        "facts": heat.facts,
        "palette": palette,
    }


def cluster_classes(names: ClusterNames, total: int, counts: Mapping[int, int]) -> list[Facts]:
    """Return clusters as the legend shows them: those of the same name are one class.

    Args:
        names: Names and colours of the clusters.
        total: Number of clusters.
        counts: Number of tiles of each cluster in the store.
    """
    members: dict[int, list[int]] = {}
    for cluster in range(total):
        members.setdefault(names.first(cluster), []).append(cluster)
    return [
        {
            "cluster": first,
            "members": all_of_them,
            "name": names[first],
            "named": first in names.names,
            "colour": hex_colour(cluster_colour(first, names)),
            "tiles": sum(counts.get(cluster, 0) for cluster in all_of_them),
        }
        for first, all_of_them in members.items()
    ]


def hex_colour(colour: Colour) -> str:
    """Return a colour as `#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def check_present(bag: Bag | None, slide_id: str) -> Bag:
    """Return a bag.

    Raises:
        StoreError: If there is none.
    """
    if bag is None:
        raise StoreError("the slide is not in the store", where=slide_id, remedy="embed it first")
    return bag


def _rings(rings: Iterable[Ring]) -> Columns:
    """Return the points of rings, and the number of the first point of each and of the end."""
    listed = [np.asarray(ring, np.float32) for ring in rings]
    starts = np.cumsum([0, *(len(ring) for ring in listed)])
    points = np.concatenate(listed) if listed else np.zeros((0, 2), np.float32)
    return {"points": points, "starts": starts.astype(np.uint32)}
