"""Selection of the tiles of a slide that are within limits of quality, before any is encoded."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from wsi_embed.errors import SlideError, Stopped
from wsi_embed.grid import TileGrid
from wsi_embed.quality.limits import QualityLimits
from wsi_embed.quality.tiles import TileQuality
from wsi_embed.slide import Slide, UInt8Array
from wsi_embed.tissue.glass import Colour

# Number of tiles that a thread reads at a time.
BATCH = 32


def select_tiles(
    slide: Slide,
    grid: TileGrid,
    limits: QualityLimits,
    *,
    glass: Colour | None,
    workers: int,
    stop: threading.Event,
    around_unreadable: bool = False,
) -> npt.NDArray[np.bool_]:
    """Read and measure all tiles of a slide, and return which are within limits.

    Args:
        slide: Open slide.
        grid: Tiles of the slide.
        limits: Limits of quality.
        glass: Colour of the slide's glass; see `TileQuality`.
        workers: Number of reader threads.
        stop: Event that stops the reading.
        around_unreadable: Whether tiles that cannot be read count as within the limits, instead of an error.

    Returns:
        bool [N].

    Raises:
        SlideError: If a tile cannot be read.
        Stopped: If `stop` is set.
    """
    found = TileQuality(grid, glass)
    px = grid.tile_px
    with slide.stream(grid) as tiles, ThreadPoolExecutor(workers, "wsi-embed-quality") as pool:

        def read(row: int, tile: UInt8Array) -> bool:
            try:
                tiles.read(row, tile)
            except SlideError:
                if not around_unreadable:
                    raise
                return False
            return True

        def measure(start: int) -> None:
            if stop.is_set():
                raise Stopped("stopped")
            batch = np.empty((min(BATCH, len(grid) - start), px, px, 3), np.uint8)
            readable = np.array([read(row, tile) for row, tile in enumerate(batch, start)])
            found.measure(start, batch)
            for values in found.arrays.values():
                values[start : start + len(batch)][~readable] = np.nan

        for _ in pool.map(measure, range(0, len(grid), BATCH)):
            pass
    return limits.kept(found.arrays)
