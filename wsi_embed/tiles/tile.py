"""The function `tile`, which writes tiles as image files."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wsi_embed.errors import StoreError, UsageError
from wsi_embed.grid import Edge
from wsi_embed.inputs.folders import TILES_MARK
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.jobs.arguments import check_overlap, find_job_slides, make_tiling
from wsi_embed.jobs.engines import open_engine
from wsi_embed.jobs.failures import without_folders
from wsi_embed.jobs.listener import Listener
from wsi_embed.jobs.options import JobOptions, check_counts
from wsi_embed.jobs.report import JobReport
from wsi_embed.jobs.runner import run_job
from wsi_embed.regions.roi_rules import Missing
from wsi_embed.slide import Reader
from wsi_embed.slide.resolution.choice import check_mpp
from wsi_embed.storage import Location
from wsi_embed.storage.address import local_folder
from wsi_embed.tiles import RESERVED, ImageFormat, TileFolder, TileJob, TileSettings
from wsi_embed.tiling.settings import Tiling
from wsi_embed.tissue import TissueRecipe


def tile(  # noqa: D417 - the other arguments are those of `embed`
    slides: str | Location | Sequence[str | Location],
    out: str | Location,
    *,
    mpp: float = 0.5,
    tile_px: int = 224,
    format: ImageFormat = "png",
    quality: int = 90,
    max_tiles: int | None = None,
    seed: int = 0,
    overlap: int = 0,
    edge: Edge = "drop",
    tissue: str | TissueRecipe = "otsu",
    tissue_set: Sequence[str] | Mapping[str, Any] = (),
    min_tissue: float = 0.25,
    mpp_default: float | None = None,
    mpp_override: float | None = None,
    force: bool = False,
    roi: str | Path | None = None,
    roi_include: Sequence[str] = (),
    roi_exclude: Sequence[str] = (),
    roi_missing: Missing = "fail",
    icc: bool = False,
    reader: Reader = "auto",
    fast_downsample: bool = False,
    min_focus: float | None = None,
    max_pen: float | None = None,
    max_dark: float | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    shard: str | None = None,
    max_failures: int | None = None,
    limit: int | None = None,
    cache: str | Path | None = None,
    cache_gb: float | None = None,
    dry_run: bool = False,
    engine: str = "local",
    address: str | None = None,
    actors: int | None = None,
    ext: str | Sequence[str] = (),
    allow_private: bool = False,
    listener: Listener | None = None,
    stop: threading.Event | None = None,
) -> JobReport:
    """Tile slides, and write the tiles as image files with a table of all of them.

    The tiles are those of `embed` with the same arguments, to the pixel; no model is needed. Slides that the
    folder already contains with the same settings are skipped. A slide that fails is recorded in the report
    and does not stop the others. For other arguments see `embed`.

    Args:
        slides: Files, folders (at any depth) or manifests (CSV, Parquet); also remote, as for `embed`.
        out: Folder; created, or added to. Its `tiles.csv` lists the tiles of all complete slides.
        mpp: Micrometres per pixel of a tile.
        tile_px: Side of a tile, pixels.
        format: `png`, or `jpeg` (4:4:4).
        quality: Quality of a JPEG, 1 to 100.
        max_tiles: Size of a random sample of tiles per slide; all tiles by default.
        seed: Seed of the sample, which depends only on the seed and the slide.
        workers: Number of threads that read, encode and write; one per core by default.
        overwrite: Whether to redo slides that the folder contains with other settings.
        dry_run: Whether only to open the slides and count tiles, without writing anything.

    Returns:
        Report with status, number of tiles, seconds and error of every slide.

    Raises:
        UsageError: If arguments are invalid; nothing was done.
        StoreError: If the folder cannot be created.
        RemoteError: If object storage cannot be reached, or refuses.

    Example:
        >>> import wsi_embed
        >>> report = wsi_embed.tile("slides/", "patches/", mpp=0.5, tile_px=224)
        >>> report.exit_code
        0
    """
    began = time.perf_counter()
    check_counts(max_tiles=max_tiles)
    options = JobOptions(
        workers=workers,
        overwrite=overwrite,
        shard=shard,
        max_failures=max_failures,
        limit=limit,
        cache=cache,
        cache_gb=cache_gb,
        dry_run=dry_run,
        engine=engine,
        address=address,
        actors=actors,
        ext=ext,
        allow_private=allow_private,
    )
    check_mpp("mpp", mpp)
    tiling = make_tiling(
        overlap=overlap,
        edge=edge,
        tissue=tissue,
        tissue_set=tissue_set,
        min_tissue=min_tissue,
        mpp_default=mpp_default,
        mpp_override=mpp_override,
        force=force,
        roi=roi,
        roi_include=roi_include,
        roi_exclude=roi_exclude,
        roi_missing=roi_missing,
        icc=icc,
        reader=reader,
        fast_downsample=fast_downsample,
        min_focus=min_focus,
        max_pen=max_pen,
        max_dark=max_dark,
    )
    settings = TileSettings(
        tile_px,
        mpp,
        format,
        quality if format == "jpeg" else None,
        max_tiles,
        None if max_tiles is None else seed,
    )
    check_overlap(overlap, tile_px)
    folder_path = local_folder(out, "tile images")
    items = _find_slides(slides, folder_path, tiling, options)
    folder = TileFolder(folder_path) if not dry_run or (folder_path / TILES_MARK).exists() else None
    with open_engine(options) as runner:
        job = TileJob(
            slides=items,
            out=folder_path,
            settings=settings,
            tiling=tiling,
            workers=runner.workers,
            options=options,
            folder=folder,
        )
        report = run_job(runner, job, {}, began, listener, stop)
    if folder is not None and not dry_run:
        _write_table(folder, report)
    return report


def _find_slides(
    slides: str | Location | Sequence[str | Location], out: Path, tiling: Tiling, options: JobOptions
) -> list[SlideInput]:
    """Find the slides of the job, whose ids become names of folders.

    Raises:
        UsageError: If none is found, or an id is a name that the output folder uses itself.
    """
    items = find_job_slides(slides, out, tiling.regions, options)
    if taken := [item.slide_id for item in items if item.slide_id in RESERVED]:
        raise UsageError(
            f"{taken[0]} cannot be a slide's id in a folder of tiles", remedy="give ids in a manifest"
        )
    return items


def _write_table(folder: TileFolder, report: JobReport) -> None:
    """Write the table of all tiles; a failure becomes the report's error, as the tiles are complete."""
    try:
        report.notes += folder.write_table()
    except StoreError as error:
        table = without_folders(str(error), {folder.path: folder.path.name})
        report.error = f"{report.error}; {table}" if report.error else table
