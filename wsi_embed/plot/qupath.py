"""Export of the areas of a slide in a store as QuPath objects: tissue, cluster regions and tiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_embed.bags.bag import Bag
from wsi_embed.bags.cluster_names import ClusterNames
from wsi_embed.errors import UsageError
from wsi_embed.plot.colours import OUTLINE, Colour, cluster_colour
from wsi_embed.regions.geojson_writer import area_features, tile_features, write_geojson
from wsi_embed.regions.outlines import mask_outlines, tile_outlines
from wsi_embed.regions.polygons import Polygon
from wsi_embed.util.text import argument

PARTS = ("tissue", "clusters", "tiles")


def parse_parts(text: str) -> tuple[str, ...]:
    """Parse a list of parts such as `tissue,clusters`.

    Raises:
        UsageError: If there is no such part.

    Example:
        >>> from wsi_embed.plot.qupath import parse_parts
        >>> parse_parts("tissue,clusters")
        ('tissue', 'clusters')
    """
    parts = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    if wrong := [part for part in parts if part not in PARTS]:
        raise UsageError(f"choose from {', '.join(PARTS)}", where=argument("geojson_parts", ", ".join(wrong)))
    return parts


def write_bag(path: Path, bag: Bag, parts: Sequence[str] = PARTS) -> int:
    """Write the areas of a bag as GeoJSON for QuPath. The slide itself is not needed.

    Args:
        path: File to write.
        bag: Bag from the store.
        parts: Parts to write: `tissue`, `clusters`, `tiles`.

    Returns:
        Number of objects written.

    Raises:
        StoreError: If the store is damaged.
        WsiEmbedError: If the file cannot be written.

    Example:
        >>> from pathlib import Path
        >>> from wsi_embed import open_store
        >>> from wsi_embed.plot.qupath import write_bag
        >>> bag = open_store("feats.zarr")["a"]
        >>> write_bag(Path("a.geojson"), bag, parts=["tiles"]) == len(bag)
        True
    """
    return write_geojson(path, bag_features(bag, parts))


def bag_features(bag: Bag, parts: Sequence[str] = PARTS) -> Iterator[str]:
    """Yield the areas of a bag as JSON texts of features: tissue, then clusters, then tiles.

    Coordinates are relative to the corner of the slide's bounds, as in QuPath.
    """
    origin = bag.attrs["bounds"][:2]
    if "tissue" in parts and bag.tissue_mask is not None:
        outlines = mask_outlines(bag.tissue_mask[:] > 0, bag.attrs["tissue_mask_scale"], origin)
        tissue = [Polygon(rings, "Tissue", OUTLINE) for rings in outlines]
        yield from area_features(tissue, _keys(bag, "tissue", len(tissue)))
    coords, extent = bag.coords[:].astype(np.float64) - origin, float(bag.attrs["extent"])
    clusters = bag.cluster[:] if bag.cluster is not None else None
    if "clusters" in parts and clusters is not None:
        regions = list(cluster_polygons(coords, extent, clusters, bag.cluster_names))
        yield from area_features(regions, _keys(bag, "cluster", len(regions)), locked=True)
    if "tiles" in parts:
        yield from _tiles(bag, coords, extent, clusters)


def cluster_polygons(
    coords: npt.NDArray[np.float64],
    extent: float,
    clusters: npt.NDArray[np.int16],
    names: ClusterNames | None = None,
) -> Iterator[Polygon]:
    """Outline the areas covered by tiles of the same cluster; see `tile_outlines`.

    Args:
        coords: Top-left corners of the tiles, float64 [N, 2].
        extent: Side of a tile.
        clusters: Cluster of each tile, int16 [N].
        names: Names and colours of the clusters.

    Yields:
        Regions with class and colour, cluster by cluster; exact to the rounding of the coordinates.
    """
    names = names or ClusterNames()
    shown = np.array([names.first(cluster) for cluster in clusters.tolist()], np.int64)
    colours = {cluster: (names[cluster], cluster_colour(cluster, names)) for cluster in set(shown.tolist())}
    for cluster, rings in tile_outlines(coords, extent, shown):
        yield Polygon(rings, *colours[cluster])


def _tiles(
    bag: Bag, coords: npt.NDArray[np.float64], extent: float, clusters: npt.NDArray[np.int16] | None
) -> Iterator[str]:
    numbers: dict[str, npt.NDArray[Any]] = {"tissue_fraction": bag.tissue_fraction[:]}
    numbers |= bag.read_quality()
    if clusters is not None:
        numbers["cluster"] = clusters
    if bag.cluster_confidence is not None:
        numbers["cluster_confidence"] = bag.cluster_confidence[:]
    measured = {name: np.asarray(values, np.float64).round(4) for name, values in numbers.items()}
    classes: list[tuple[str, Colour] | None] = [None] * len(coords)
    if clusters is not None:
        names = bag.cluster_names
        shown = {
            cluster: (names[cluster], cluster_colour(cluster, names)) for cluster in set(clusters.tolist())
        }
        classes = [shown[cluster] for cluster in clusters.tolist()]
    yield from tile_features(coords, extent, _keys(bag, "tile", len(coords)), classes, measured)


def _keys(bag: Bag, part: str, count: int) -> list[str]:
    return [f"{bag.slide_id}/{part}/{number}" for number in range(count)]
