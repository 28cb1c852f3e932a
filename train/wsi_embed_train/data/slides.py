"""Slides of a training source: positions of their tissue tiles, found as in the feature extraction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from wsi_embed.errors import UsageError, WsiEmbedError
from wsi_embed.grid import Int32Array, scanned_area
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.jobs.failures import without_folders
from wsi_embed.slide.resolution.choice import SAY_ANOTHER_MPP, SAY_FORCE, SAY_MISSING_MPP, SAY_MPP
from wsi_embed.tissue.recipe import KEEP_PEN
from wsi_embed.util.cpu import cpu_count
from wsi_embed_train.data.regions import Int64Array, by_region, room_to_move

if TYPE_CHECKING:  # imports the networks, which the decoding processes do not need
    from wsi_embed_train.config import TrainConfig

MOST_THREADS = 8  # the overview of a slide without a small level takes some hundred megabytes
# Advice about options that training does not have, and what to do instead.
INSTEAD = {
    SAY_FORCE: "correct the column mpp",
    SAY_ANOTHER_MPP: "a copy of the file with the right resolution",
    SAY_MPP: "a CSV with a column mpp",
    SAY_MISSING_MPP: "a CSV with a column mpp (um per pixel of level 0)",
    KEEP_PEN: "`wsi-embed tile --tissue-set pen=off` cuts tiles with them",
}


@dataclass(frozen=True)
class SlideTiles:
    """Tissue tiles of one slide, ordered by region. Small: without mask or open file.

    Attributes:
        item: The slide.
        level: Read level.
        scale: Level-0 pixels per pixel of the read level, (x, y).
        read_px: Side of a tile, pixels of the read level.
        tile_px: Side of a tile after resampling, pixels.
        level_xy: Top-left corners, pixels of the read level, int32 [N, 2].
        starts: First tile of each region, int64 [R].
        room: Maximum shift of each region left, up, right and down, pixels of the read level, int32 [R, 4].
    """

    item: SlideInput
    level: int
    scale: tuple[float, float]
    read_px: int
    tile_px: int
    level_xy: Int32Array
    starts: Int64Array
    room: Int32Array

    def __len__(self) -> int:
        return len(self.level_xy)

    def region_of(self, row: int) -> int:
        """Return the index of the region that contains a tile."""
        return int(np.searchsorted(self.starts, row, side="right")) - 1


@dataclass
class Laid:
    """Result of laying the grid of a slide.

    Attributes:
        name: Name of the slide, as recorded in the run.
        tiles: Tiles of the slide; None if the slide cannot be used.
        reason: Reason why the slide cannot be used.
        warnings: Warnings about the slide.
    """

    name: str
    tiles: SlideTiles | None = None
    reason: str = ""
    warnings: list[str] = field(default_factory=list)


def lay_slides(
    items: Sequence[SlideInput], config: TrainConfig, on_progress: Callable[[int, int], None] | None = None
) -> list[Laid]:
    """Find the tissue of slides and lay their grids, with several threads.

    Args:
        items: The slides.
        config: Settings, of which `mpp`, `tile_px`, `tissue`, `min_tissue`, `region_tiles` and `reader` are
            used.
        on_progress: Function called with the number of slides done, and the number of all slides.

    Returns:
        Results in the order of the slides, including those for slides that cannot be used.

    Raises:
        UsageError: If `config.mpp` is None.
    """
    if items and config.mpp is None:
        raise UsageError(
            "tiles are drawn from slides at a resolution, and the recipe has none",
            remedy="give `mpp=` (um per pixel)",
        )
    with ThreadPoolExecutor(min(MOST_THREADS, cpu_count()), "wsi-embed-tissue") as pool:
        futures = [pool.submit(_lay, item, config) for item in items]
        try:
            for done, _ in enumerate(as_completed(futures), start=1):
                if on_progress:
                    on_progress(done, len(items))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return [future.result() for future in futures]


def _lay(item: SlideInput, config: TrainConfig) -> Laid:
    laid = Laid(item.name)
    try:
        _lay_grid(item, config, laid)
    except UsageError:
        raise  # an error of the tissue recipe, which concerns every slide
    except WsiEmbedError as error:
        laid.reason = _for_training(item, str(error))
    except Exception as error:
        laid.reason = _for_training(item, f"{item.name}: unexpected {type(error).__name__}: {error}")
    laid.warnings = [_for_training(item, text) for text in laid.warnings]
    return laid


def _for_training(item: SlideInput, text: str) -> str:
    """Remove folders from a message, and replace options of the extraction by those of training."""
    text = without_folders(text, {item.path: item.name})
    for advice, instead in INSTEAD.items():
        text = text.replace(advice, instead)
    return text


def _lay_grid(item: SlideInput, config: TrainConfig, laid: Laid) -> None:
    # imports ONNX Runtime and Zarr, which the decoding processes do not need
    from wsi_embed.store.layout import StoreSettings
    from wsi_embed.tiling.plan import plan_slide
    from wsi_embed.tiling.settings import Tiling
    from wsi_embed.tissue import TissueRecipe

    assert config.mpp is not None
    tiling = Tiling(
        tissue=TissueRecipe(config.tissue),
        min_tissue=config.min_tissue,
        reader=config.reader,
    )
    no_store: dict[str, Any] = {"model_id": "", "dtype": "float16", "feature_dim": 0, "clusters": None}
    plan = plan_slide(item, tiling, StoreSettings(tile_px=config.tile_px, mpp=config.mpp, **no_store))
    with plan.slide:
        laid.warnings += plan.warnings
        grid, mask = plan.make_grid(tiling)
    if mask.note:
        laid.warnings.append(f"{item.name}: {mask.note}")
    if not len(grid):
        why = plan.why_empty(mask, config.min_tissue)
        laid.warnings.append(f"{item.name}: no tile is taken from it, {why}")
    order, starts = by_region(grid.grid, config.region_tiles)
    grid = grid.where(order)
    area = scanned_area(plan.slide.bounds, grid.scale, plan.slide.level_sizes[grid.level])
    laid.tiles = SlideTiles(
        item=item,
        level=grid.level,
        scale=grid.scale,
        read_px=grid.read_px,
        tile_px=grid.tile_px,
        level_xy=grid.level_xy,
        starts=starts,
        room=room_to_move(grid, mask, starts, area, config.min_tissue),
    )
