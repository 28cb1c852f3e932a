"""What is done with a slide of OME-TIFF or DICOM: it is planned and tiled at several resolutions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tests.fuzz.case import Truth, WrongContentError, WrongResolutionError, check_message
from tests.fuzz.picture import MPP, check_tile, level0_factor
from wsi_embed.errors import WsiEmbedError
from wsi_embed.grid import TileGrid, plan_read
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.slide import Slide, UInt8Array
from wsi_embed.slide.resolution.stated import MPP_MAX
from wsi_embed.tiling.plan import SlidePlan, plan_slide
from wsi_embed.tiling.settings import Tiling
from wsi_embed.tissue import TissueRecipe, tissue_mask

TILE_PX, MOST_TILES = 32, 8
# Targets in pixels of level 0, so that each level is read.
COARSENESS = (1.0, 2.0, 4.1)
MPP_TOLERANCE = 0.03


@dataclass(frozen=True)
class Target:
    """What is asked for: tiles at a resolution."""

    mpp: float
    tile_px: int = TILE_PX

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {"mpp": self.mpp, "tile_px": self.tile_px}

    decisive = to_dict


def exercise_slide(item: SlideInput, truth: Truth) -> str:
    """Open, plan and tile a slide, and compare its tiles with the picture.

    Returns:
        How it ended: `read`, `partly` (something was refused), `warned` (tiles or the resolution are wrong,
        and a warning says that something is), or `refused`.

    Raises:
        WrongContentError: Tiles do not show what lies at their coordinates.
        WrongResolutionError: The resolution is not that of the file.
        BadMessageError: A message is no line of text.
        Exception: Anything but a WsiEmbedError is a find.
    """
    plan, tiling = _plan(item)
    if plan is None:
        return "refused"
    with plan.slide as slide:
        for warning in plan.warnings:
            check_message(warning)
        mpp = plan.resolution.mpp
        outcomes = {_check_resolution(plan, tiling, truth), _look(slide, mpp)}
        for times in COARSENESS:
            read = plan_read(mpp, slide.level_downsamples, mpp * times, TILE_PX)
            outcomes.add(_tiles(replace(plan, read=read), tiling, truth))
    return next(name for name in ("warned", "partly", "read") if name in outcomes)


def _plan(item: SlideInput) -> tuple[SlidePlan | None, Tiling]:
    """Plan a slide, with a resolution from the user where that of the file is refused."""
    for override in (None, MPP):
        tiling = Tiling(tissue=TissueRecipe("none"), min_tissue=0, mpp_override=override)
        try:
            return plan_slide(item, tiling, Target(MPP_MAX)), tiling
        except WsiEmbedError as error:
            check_message(error)
    return None, tiling


def _check_resolution(plan: SlidePlan, tiling: Tiling, truth: Truth) -> str:
    """Check micrometres per pixel, where they are known."""
    if tiling.mpp_override is not None:
        return "partly"
    found, expected = plan.resolution, MPP * level0_factor(plan.slide.level_sizes[0])
    if truth != "all" or abs(found.mpp / expected - 1) <= MPP_TOLERANCE:
        return "read"
    if plan.warnings:
        return "warned"
    raise WrongResolutionError(f"{found.mpp} um per pixel ({found.source}) instead of {expected}")


def _look(slide: Slide, mpp: float) -> str:
    """Read what belongs to no tile."""
    outcome = "read"
    for look in (slide.icc_profile, lambda: slide.thumbnail(50)):
        try:
            look()
        except WsiEmbedError as error:
            check_message(error)
            outcome = "partly"
    try:
        tissue_mask(slide, mpp, TissueRecipe(), None)
    except WsiEmbedError as error:  # the picture is no tissue
        check_message(error)
    return outcome


def _tiles(plan: SlidePlan, tiling: Tiling, truth: Truth) -> str:
    """Read tiles from all over the grid; tiles that cannot be decoded are passed over."""
    outcome, tile = "read", np.empty((TILE_PX, TILE_PX, 3), np.uint8)
    try:
        grid, _ = plan.make_grid(tiling)
        stream = plan.slide.stream(grid)
    except WsiEmbedError as error:
        check_message(error)
        return "partly"
    with stream as tiles:
        for row in np.unique(np.linspace(0, len(grid) - 1, MOST_TILES).astype(int)).tolist():
            try:
                tiles.read(row, tile)
                if truth != "nothing":
                    _check_place(plan.slide, grid, row, tile)
            except WsiEmbedError as error:
                check_message(error)
                outcome = "partly"
            except WrongContentError:
                if not plan.warnings:
                    raise
                return "warned"
    return outcome


def _check_place(slide: Slide, grid: TileGrid, row: int, tile: UInt8Array) -> None:
    """Check that a tile shows what the picture has at its coordinates."""
    factor = level0_factor(slide.level_sizes[0])
    x, y = (grid.coords[row] * factor).tolist()
    w, h = (grid.read_px * scale * factor for scale in grid.scale)
    check_tile(tile, (x, y), (w, h), slide.level_downsamples[grid.level] * factor)
