"""Annotated classes of the tiles of a map."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wsi_embed.bags.damage import damage_named
from wsi_embed.bags.geometry import bag_grid
from wsi_embed.errors import WsiEmbedError
from wsi_embed.explore.feature_table import OnProgress
from wsi_embed.explore.tile_map import TileMap
from wsi_embed.regions import slide_annotations, tile_classes
from wsi_embed.viewer.shown_store import ShownStore


@dataclass(frozen=True)
class MapLabels:
    """Annotated classes of tiles.

    Attributes:
        slide_ids: Slides of the map.
        names: Names of the classes; None for areas without a class.
        codes: Class of each tile as an index into `names`, int16 [N]; -1 for none.
    """

    slide_ids: tuple[str, ...]
    names: tuple[str | None, ...]
    codes: npt.NDArray[np.int16]


def map_labels(shown: ShownStore, found: TileMap, on_progress: OnProgress) -> MapLabels:
    """Return the class of the annotated area that contains the centre of each tile of a map.

    Where areas of several classes contain it, the last class in the order of the legend counts. Slides
    without annotations, or with a file that cannot be read, have no classes.

    Args:
        shown: Store with the annotation files of its slides.
        found: The map.
        on_progress: Function called with the number of slides done, and the number of all slides.
    """
    names = tuple(shown.class_colours)
    codes = np.full(len(found), -1, np.int16)
    for number, slide_id in enumerate(found.slide_ids):
        of_slide = found.slide == number
        with contextlib.suppress(WsiEmbedError):  # shown when the slide is opened
            codes[of_slide] = _classes(shown, slide_id, names)[found.tile[of_slide]]
        on_progress(number + 1, len(found.slide_ids))
    return MapLabels(found.slide_ids, names, codes)


def _classes(shown: ShownStore, slide_id: str, names: tuple[str | None, ...]) -> npt.NDArray[np.int16]:
    """Return the class of each tile of a slide, int16 [N]."""
    item, bag = shown.items.get(slide_id), shown.bag(slide_id)
    assert bag is not None
    if item is None or item.roi is None:
        return np.full(len(bag), -1, np.int16)
    with damage_named(slide_id):
        size, bounds = bag.attrs["size"], bag.attrs["bounds"]
        polygons = slide_annotations(item.roi, size, bounds).polygons
        layers = [[polygon for polygon in polygons if polygon.label == name] for name in reversed(names)]
        first = np.asarray(tile_classes(bag_grid(bag), layers), np.int16)
    return np.where(first >= 0, len(names) - 1 - first, -1).astype(np.int16)
