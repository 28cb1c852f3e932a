"""Contents of a bag for pictures, read at once so that damage is reported before drawing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_embed.bags.bag import Bag
from wsi_embed.bags.cluster_names import ClusterNames
from wsi_embed.bags.damage import damage_named, positive
from wsi_embed.bags.geometry import bag_grid
from wsi_embed.errors import SlideError
from wsi_embed.grid import TileGrid
from wsi_embed.slide import READERS, Reader, Slide, open_slide
from wsi_embed.slide.colour.icc import to_srgb

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Tiles:
    """Positions and clusters of the tiles of a bag.

    Attributes:
        slide_id: Id of the slide.
        grid: Grid of the tiles, without tissue fractions.
        cluster: Cluster of each tile, int64 [N]; None without a cluster head.
        mpp: Micrometres per level-0 pixel.
        fingerprint: Fingerprint of the slide; None if the features come from another tool.
        tissue: Tissue mask, bool [h, w]; None if the store has none.
        tissue_scale: Level-0 pixels per mask pixel, (x, y).
        names: Names and colours of the clusters.
    """

    slide_id: str
    grid: TileGrid
    cluster: npt.NDArray[np.int64] | None
    mpp: float
    fingerprint: str | None
    tissue: BoolArray | None
    tissue_scale: tuple[float, float]
    names: ClusterNames = field(default_factory=ClusterNames)

    @property
    def counts(self) -> Counter[int]:
        """Number of tiles of each cluster."""
        return Counter(self.cluster.tolist() if self.cluster is not None else [])


def read_tiles(bag: Bag) -> Tiles:
    """Read the geometry, clusters and tissue mask of a bag.

    Raises:
        StoreError: If the bag is damaged.
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
            bag.cluster_names,
        )
        if cluster is not None and len(cluster) != len(tiles.grid):
            raise ValueError(f"{len(cluster)} clusters for {len(tiles.grid)} tiles")
    return tiles


def open_embedded(path: Path, bag: Bag, reader: Reader | None = None) -> Slide:
    """Open the slide of a bag with the reader and the ICC setting of the job that made the bag.

    Args:
        path: Path of the slide.
        bag: Bag of the slide.
        reader: Reader to use instead; see `open_slide`.

    Raises:
        SlideError: If the slide cannot be read.
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
    """Check that a slide is the one from which a bag was made.

    Args:
        slide: The open slide.
        slide_id: Id of the bag, for the message.
        fingerprint: Fingerprint in the bag; None skips the check.

    Raises:
        SlideError: If the fingerprints differ.
    """
    if fingerprint is not None and slide.fingerprint != fingerprint:
        raise SlideError(f"{slide.path.name} is not the slide that the store has under {slide_id!r}")
