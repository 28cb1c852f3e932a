"""What pictures need of a bag, read at once, so that a damaged store is named before anything is drawn."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_embed.bags.damage import damage_named
from wsi_embed.errors import SlideError
from wsi_embed.grid import ReadPlan, TileGrid
from wsi_embed.slide import READERS, Reader, Slide, open_slide
from wsi_embed.slide.icc import to_srgb
from wsi_embed.store import Bag

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
            scale = (_positive(x), _positive(y))
        tiles = Tiles(
            bag.slide_id,
            bag_grid(bag),
            cluster,
            _positive(bag.attrs["mpp"]),
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


def bag_grid(bag: Bag) -> TileGrid:
    """The grid that the job laid, so that `Slide.read_tiles` gives the pixels that were encoded.

    Raises:
        StoreError: The group is damaged.
    """
    with damage_named(bag.slide_id):
        a: dict[str, Any] = bag.attrs
        plan = ReadPlan(
            int(a["level"]),
            round(_positive(a["read_px"])),
            round(_positive(a["tile_px"])),
            _positive(a["effective_mpp"]),
            round(_positive(a.get("dct_scale", 1))),
        )
        both = a.get("level_scale", [a["level_downsample"]] * 2)  # one number in stores of before 0.2
        scale, stride = (_positive(both[0]), _positive(both[1])), round(_positive(a["stride"]))
        coords, grid = bag.coords[:], bag.grid[:]
        if coords.shape != (len(bag), 2) or grid.shape != (len(bag), 2):
            raise ValueError(f"{len(bag)} tiles, but coords {coords.shape} and grid {grid.shape}")
        # coords are level_xy times the scale, rounded; the scale is at least 1, so this is exact
        level_xy = np.rint(coords / scale).astype(np.int32)
        unknown = np.full(len(bag), np.nan, np.float32)
        return TileGrid(plan, stride, scale, np.asarray(grid, np.int32), level_xy, unknown)


def check_same_slide(slide: Slide, slide_id: str, fingerprint: str | None) -> None:
    """Refuse a slide that is not the one the bag was made from, where that is known.

    Raises:
        SlideError: Its content differs.
    """
    if fingerprint is not None and slide.fingerprint != fingerprint:
        raise SlideError(f"{slide.path.name} is not the slide that the store has under {slide_id!r}")


def _positive(value: Any) -> float:
    number = float(value)
    if not 0 < number < float("inf"):
        raise ValueError(f"{value!r} is not a positive number")
    return number
