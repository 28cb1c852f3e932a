"""What pictures need of a bag, read at once, so that a damaged store is named before anything is drawn."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_embed.bags.bag import Bag
from wsi_embed.bags.damage import damage_named, positive
from wsi_embed.bags.geometry import bag_grid
from wsi_embed.errors import SlideError
from wsi_embed.grid import TileGrid
from wsi_embed.slide import READERS, Reader, Slide, open_slide
from wsi_embed.slide.icc import to_srgb

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Tiles:
    """Where a bag's tiles lie, and their clusters.

    Attributes:
        slide_id: Of the slide.
        grid: As the job laid it; its tissue fractions are not read.
        cluster: int [N], or None without a cluster head.
        mpp: Micrometres per level-0 pixel.
        fingerprint: Of the slide that the bag was made from; None where another tool made its features.
        tissue: Mask, bool [h, w], where the store has it.
        tissue_scale: Level-0 pixels per mask pixel, (x, y).
    """

    slide_id: str
    grid: TileGrid
    cluster: npt.NDArray[np.int64] | None
    mpp: float
    fingerprint: str | None
    tissue: BoolArray | None
    tissue_scale: tuple[float, float]

    @property
    def counts(self) -> Counter[int]:
        """Tiles of each cluster."""
        return Counter(self.cluster.tolist() if self.cluster is not None else [])


def read_tiles(bag: Bag) -> Tiles:
    """Read a bag's geometry, clusters and tissue mask.

    Raises:
        StoreError: The group is damaged.
    """
    with damage_named(bag.slide_id):
        cluster = None if bag.cluster is None else np.asarray(bag.cluster[:], np.int64)
        mask = bag.tissue_mask
        scale = (1.0, 1.0)
        if mask is not None:
            x, y = bag.attrs["tissue_mask_scale"]
            scale = (positive(x), positive(y))
        tiles = Tiles(
            bag.slide_id,
            bag_grid(bag),
            cluster,
            positive(bag.attrs["mpp"]),
            bag.attrs["slide_fingerprint"],
            None if mask is None else np.asarray(mask[:], np.bool_),
            scale,
        )
        if cluster is not None and len(cluster) != len(tiles.grid):
            raise ValueError(f"{len(cluster)} clusters for {len(tiles.grid)} tiles")
    return tiles


def open_embedded(path: Path, bag: Bag, reader: Reader | None = None) -> Slide:
    """Open a bag's slide as the job read it: with the same reader, and as sRGB where that was asked for.

    Args:
        path: The slide.
        bag: Made from it.
        reader: Another reader; see `open_slide`.

    Raises:
        SlideError: The slide cannot be read.
    """
    used: Any = bag.attrs.get("reader")
    slide = open_slide(path, reader or (used if used in READERS else "auto"))
    settings = bag.attrs.get("settings")
    if not (isinstance(settings, dict) and settings.get("icc")):
        return slide
    try:
        return to_srgb(slide)[0]
    except SlideError:
        slide.close()
        raise


def check_same_slide(slide: Slide, slide_id: str, fingerprint: str | None) -> None:
    """Refuse a slide that is not the one the bag was made from, where that is known.

    Raises:
        SlideError: Its content differs.
    """
    if fingerprint is not None and slide.fingerprint != fingerprint:
        raise SlideError(f"{slide.path.name} is not the slide that the store has under {slide_id!r}")
