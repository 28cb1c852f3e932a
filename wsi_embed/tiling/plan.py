"""Plan for one slide: resolution, read level, settings fingerprint, grid."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from wsi_embed.errors import SlideError
from wsi_embed.grid import ReadPlan, TileGrid, make_grid, plan_read, with_dct_scale
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.regions import Regions, slide_regions
from wsi_embed.slide import Resolution, Slide, open_slide, resolve_mpp
from wsi_embed.slide.base import unreadable
from wsi_embed.slide.colour.icc import to_srgb
from wsi_embed.slide.content_sample import ContentSample, content_sample
from wsi_embed.slide.fingerprint import file_states
from wsi_embed.slide.readers import reader_version
from wsi_embed.tiling.fingerprint import (
    BY_OVERRIDE,
    SlideFacts,
    decisive_settings,
    remote_origin,
    settings_fingerprint,
)
from wsi_embed.tiling.settings import Tiling, TilingTarget
from wsi_embed.tissue import TissueMask, tissue_mask
from wsi_embed.util.text import argument

# Places for tiles on one slide: a slide of 100,000 x 200,000 pixels has 20 million of 32 pixels.
MOST_POSITIONS = 20_000_000


@dataclass(frozen=True)
class SlidePlan:
    """Open slide and all decisions about it, before any tile is read.

    Attributes:
        item: Input slide.
        slide: Open slide; the owner of the plan closes it.
        resolution: Resolution and its source.
        read: Read level and size.
        regions: Regions of interest, in level-0 pixels; None for the whole slide.
        settings: Settings that determine the slide's arrays, as JSON values.
        states: States of the slide's files before reading.
        sample: Sample of the content of the slide's files.
        origin: Digest of a remote slide's objects and of all options; see `remote_origin`.
    """

    item: SlideInput
    slide: Slide
    resolution: Resolution
    read: ReadPlan
    regions: Regions | None
    settings: dict[str, Any]
    states: list[tuple[str, int, int]]
    sample: ContentSample
    origin: str | None = None

    @property
    def warnings(self) -> list[str]:
        """Warnings about the slide."""
        warnings = [*self.slide.warnings, *([self.resolution.warning] if self.resolution.warning else [])]
        icc = self.settings["icc"]
        if icc and icc["profile"] is None:
            warnings.append(f"{self.item.name}: no ICC profile in the file; its colours are left as they are")
        if self.sample.warning:
            warnings.append(self.sample.warning)
        return [*warnings, *(self.regions.warnings if self.regions else ())]

    def check_unchanged(self) -> None:
        """Check that the slide's files have not changed since they were opened.

        Raises:
            SlideError: If a file has changed, so that the pixels may be partly old and partly new.
        """
        try:
            unchanged = file_states(self.item.path) == self.states
        except OSError:
            unchanged = False
        if not unchanged:
            raise SlideError(
                "the file changed while it was read",
                where=self.item.name,
                remedy="run again when nobody writes to it",
            )

    @property
    def fingerprint(self) -> str:
        """Digest of `settings`; equal digests mean equal arrays."""
        return settings_fingerprint(self.settings)

    def make_grid(self, tiling: Tiling, around_unreadable: bool = False) -> tuple[TileGrid, TissueMask]:
        """Find the tissue and lay the grid over it.

        Args:
            tiling: Tiling settings.
            around_unreadable: Whether to ignore unreadable areas; see `tissue_mask`.

        Returns:
            The tiles with enough tissue, and the tissue mask.

        Raises:
            SlideError: If the slide cannot be read, or is smaller than a tile.
        """
        level = self.read.level
        scale, size = self.slide.level_scales[level], self.slide.level_sizes[level]
        self._check_positions(size, tiling)
        grid = make_grid(self.read, scale, size, self.slide.bounds, tiling.overlap, tiling.edge)
        if len(grid) == 0:
            raise SlideError(
                f"{size[0]} x {size[1]} pixels at its read level, smaller than one tile of "
                f"{self.read.read_px}",
                where=self.item.path,
                remedy="use `edge='pad'` to keep it",
            )
        mask = tissue_mask(
            self.slide,
            self.resolution.mpp,
            tiling.tissue,
            self.regions,
            around_unreadable=around_unreadable,
        )
        fraction = mask.coverage(grid)
        grid = TileGrid(grid.plan, grid.stride, grid.scale, grid.grid, grid.level_xy, fraction)
        # leave out tiles without any tissue, even with --min-tissue 0
        return grid.where((fraction >= tiling.min_tissue) & (fraction > 0)), mask

    def _check_positions(self, size: tuple[int, int], tiling: Tiling) -> None:
        """Check that the tiles of a slide are no more than memory holds.

        Raises:
            SlideError: If there are more than `MOST_POSITIONS` places for tiles.
        """
        stride = max(1, round(self.read.read_px * (1 - tiling.overlap / self.read.tile_px)))
        positions = math.prod(side // stride for side in size)
        if positions > MOST_POSITIONS:
            raise SlideError(
                f"{positions:,} places for tiles of {self.read.tile_px} px, more than {MOST_POSITIONS:,}",
                where=self.item.name,
                remedy="use larger tiles (`tile_px=`), a coarser `mpp=`, or less `overlap=`",
            )

    def why_empty(self, mask: TissueMask, min_tissue: float) -> str:
        """Explain why the grid has no tile."""
        if self.regions is not None:
            return (
                f"no tile has {100 * min_tissue:g} % of its area in tissue within the regions of "
                f"{self.regions.name}: are they smaller than a tile, away from the tissue, or in other units "
                "than level-0 pixels?"
            )
        if mask.mask.any():
            return f"no tile has {100 * min_tissue:g} % of tissue: `min_tissue=` takes less"
        return "no tissue found"

    def attributes(self, grid: TileGrid, tiling: Tiling, versions: dict[str, str]) -> dict[str, Any]:
        """Return the attributes recorded with the slide."""
        slide = self.slide
        return {
            "slide": self.item.name,
            "patient": self.item.patient,
            "size": list(slide.level_sizes[0]),
            "bounds": list(slide.bounds),
            "slide_fingerprint": slide.fingerprint,
            "slide_sample": self.sample.digest,
            "vendor": slide.vendor,
            "reader": slide.reader,
            "reader_asked": tiling.reader,
            "mpp": self.resolution.mpp,
            "mpp_source": self.resolution.source,
            "effective_mpp": self.read.effective_mpp,
            "tile_px": self.read.tile_px,
            "extent": grid.extent,
            "level": self.read.level,
            "level_downsample": grid.downsample,
            "level_scale": list(grid.scale),
            "read_px": self.read.read_px,
            "stride": grid.stride,
            "resampled": self.read.resampled,
            "dct_scale": self.read.dct_scale,
            "coords_units": "level0_px",
            "tissue": tiling.tissue.to_dict(),
            "min_tissue": tiling.min_tissue,
            "roi": {"file": self.regions.name, **tiling.regions.classes()} if self.regions else None,
            "versions": versions | reader_version(slide.reader),
            "settings": self.settings,
            "settings_fingerprint": self.fingerprint,
            **({"origin": self.origin} if self.origin else {}),
        }


def plan_slide(item: SlideInput, tiling: Tiling, target: TilingTarget) -> SlidePlan:
    """Open a slide and decide how to read it. Pixels are decoded only to compare its levels.

    Args:
        item: Input slide.
        tiling: Tiling settings.
        target: Target shared by all slides of the job.

    Raises:
        SlideError: If the slide or its annotations cannot be read, its resolution is unknown or too coarse,
            or it has no region to take.
    """
    regions = slide_regions(item, tiling.regions)
    slide = open_slide(item.path, tiling.reader)
    icc: dict[str, Any] | bool = False
    try:
        states, sample = _states(item)
        if tiling.icc:
            slide, icc = to_srgb(slide)
        resolution = _resolution(slide, item, tiling)
        read = _plan_read(slide, resolution.mpp, tiling, target)
        if regions is not None:
            across, down = (read.read_px * scale for scale in slide.level_scales[read.level])
            regions = regions.placed(slide.level_sizes[0], slide.bounds, (across, down))
    except BaseException:
        slide.close()
        raise
    facts = SlideFacts(
        slide.fingerprint,
        resolution.mpp,
        regions.digest if regions else None,
        icc,
        read.resampling,
        slide.reader if slide.reader_decides else None,
        slide.decisive_levels,
    )
    settings, origin = decisive_settings(tiling, target, facts), remote_origin(item, tiling, target)
    return SlidePlan(item, slide, resolution, read, regions, settings, states, sample, origin)


def _resolution(slide: Slide, item: SlideInput, tiling: Tiling) -> Resolution:
    """Determine the resolution of a slide from the manifest, the options and its metadata."""
    default, force, override = tiling.mpp_default, tiling.force, tiling.mpp_override
    if item.mpp is not None:
        return resolve_mpp(slide, item.mpp, "manifest", default=default, force=force)
    words = argument("mpp_override", override)
    return resolve_mpp(slide, override, BY_OVERRIDE, words, default=default, force=force)


def _plan_read(slide: Slide, mpp: float, tiling: Tiling, target: TilingTarget) -> ReadPlan:
    downsamples = slide.level_downsamples
    try:
        read = plan_read(mpp, downsamples, target.mpp, target.tile_px)
        if read.level or tiling.tissue.used:  # else no coarser level is read
            levels = slide.usable_levels()
            read = plan_read(mpp, [downsamples[level] for level in levels], target.mpp, target.tile_px)
            read = replace(read, level=levels[read.level])
    except SlideError as error:
        raise error.at(slide.path.name) from error
    if not tiling.fast_downsample:
        return read
    dct_scales, scale = slide.dct_scales(read.level), slide.level_scales[read.level]
    size = slide.level_sizes[read.level]
    return with_dct_scale(read, dct_scales, scale, size, slide.bounds, tiling.overlap)


def _states(item: SlideInput) -> tuple[list[tuple[str, int, int]], ContentSample]:
    try:
        return file_states(item.path), content_sample(item.path)
    except OSError as error:
        raise unreadable(item.path, error) from error
