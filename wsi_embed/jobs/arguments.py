"""Arguments shared by all kinds of jobs, checked before any work."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wsi_embed.errors import UsageError
from wsi_embed.grid import Edge
from wsi_embed.inputs.shards import parse_shard
from wsi_embed.inputs.shards import shard as take_shard
from wsi_embed.inputs.slides import SlideInput, find_slides
from wsi_embed.jobs.options import JobOptions
from wsi_embed.quality import QualityLimits
from wsi_embed.regions import RegionRules, check_rules, with_annotations
from wsi_embed.regions.roi_rules import Missing
from wsi_embed.slide import Reader
from wsi_embed.slide.resolution.choice import check_mpp
from wsi_embed.storage.address import Address, Location
from wsi_embed.storage.redirects import allow_private
from wsi_embed.tiling.settings import Tiling
from wsi_embed.tissue import TissueRecipe, parse_recipe
from wsi_embed.util.links import real_path
from wsi_embed.util.text import argument


def make_tiling(
    *,
    overlap: int,
    edge: Edge,
    tissue: str | TissueRecipe,
    tissue_set: Sequence[str] | Mapping[str, Any],
    min_tissue: float,
    mpp_default: float | None,
    mpp_override: float | None,
    force: bool,
    roi: str | Path | None,
    roi_include: Sequence[str],
    roi_exclude: Sequence[str],
    roi_missing: Missing,
    icc: bool,
    reader: Reader,
    fast_downsample: bool,
    min_focus: float | None,
    max_pen: float | None,
    max_dark: float | None,
) -> Tiling:
    """Return the tiling settings from the user's arguments.

    Raises:
        UsageError: If a value is invalid.
    """
    check_mpp("mpp_default", mpp_default)
    check_mpp("mpp_override", mpp_override)
    if isinstance(tissue, TissueRecipe) and tissue_set:
        raise UsageError(
            "a tissue recipe has settings of its own",
            remedy="give `tissue_set=` with the name of a recipe only",
        )
    recipe = parse_recipe(tissue, tissue_set) if isinstance(tissue, str) else tissue
    return Tiling(
        overlap=overlap,
        edge=edge,
        tissue=recipe,
        min_tissue=min_tissue,
        mpp_default=mpp_default,
        mpp_override=mpp_override,
        force=force,
        regions=RegionRules(Path(roi) if roi else None, tuple(roi_include), tuple(roi_exclude), roi_missing),
        icc=icc,
        reader=reader,
        fast_downsample=fast_downsample,
        limits=QualityLimits(min_focus, max_pen, max_dark),
    )


def find_job_slides(
    sources: str | Location | Sequence[str | Location],
    out: Location,
    regions: RegionRules,
    options: JobOptions,
) -> list[SlideInput]:
    """Find the slides of a job.

    Raises:
        UsageError: If none is found, two have the same id, or the output is one of them.
    """
    allow_private(options.allow_private)
    given = [sources] if isinstance(sources, str | Path | Address) else sources
    found = find_slides(given, remote=True, ext=options.ext)
    items = with_annotations(found, regions.source)
    check_rules(regions, items)
    if options.shard is not None:
        items = take_shard(items, *parse_shard(options.shard, os.environ))
    items = items[: options.limit]
    if isinstance(out, Path) and any(
        real_path(out) == real_path(item.path) for item in items if item.remote is None
    ):
        raise UsageError(f"{argument('out', out)} is one of the slides")
    return items


def check_overlap(overlap: int, tile_px: int) -> None:
    """Check the overlap of neighbouring tiles.

    Raises:
        UsageError: If it is negative, or not smaller than a tile.
    """
    if not 0 <= overlap < tile_px:
        raise UsageError(
            f"{argument('overlap', overlap)} must be at least 0 and below the tile's {tile_px} px"
        )
