"""`wsi-embed tile SLIDES... --out DIR`."""

from __future__ import annotations

import os
import threading
from typing import Annotated

import typer

from wsi_embed.cli import options
from wsi_embed.cli.options import INPUT, TILES, option
from wsi_embed.cli.signals import job_signals


def command(
    slides: options.Slides,
    out: Annotated[
        str, option("--out", "The folder; made, or added to.", INPUT, metavar="PATH", show_default=False)
    ],
    mpp: Annotated[float, option("--mpp", "Resolution of a tile, um per pixel.", TILES)] = 0.5,
    tile_px: Annotated[int, option("--tile-px", "Side of a tile, pixels.", TILES)] = 224,
    format_: Annotated[
        str, option("--format", "png, which keeps every pixel, or jpeg (4:4:4).", INPUT)
    ] = "png",
    quality: Annotated[int, option("--quality", "Of a JPEG, 1 to 100.", INPUT)] = 90,
    max_tiles: Annotated[
        int | None,
        option("--max-tiles", "Most tiles of a slide, a random sample of them. Default: all.", TILES),
    ] = None,
    seed: Annotated[int, option("--seed", "Of that sample.", TILES)] = 0,
    overlap: options.Overlap = 0,
    edge: options.Edge = "drop",
    tissue: options.Tissue = "otsu",
    tissue_set: options.TissueSet = None,
    min_tissue: options.MinTissue = 0.25,
    mpp_override: options.MppOverride = None,
    icc: options.Icc = False,
    reader: options.Reader = "auto",
    fast_downsample: options.FastDownsample = False,
    roi: options.Roi = None,
    roi_include: options.RoiInclude = None,
    roi_exclude: options.RoiExclude = None,
    roi_missing: options.RoiMissing = "fail",
    overwrite: options.Overwrite = False,
    workers: options.Workers = None,
    engine: options.Engine = "local",
    address: options.Address = None,
    actors: options.Actors = None,
    shard: options.Shard = None,
    max_failures: options.MaxFailures = None,
    limit: options.Limit = None,
    cache: options.Cache = None,
    cache_gb: options.CacheGb = None,
    dry_run: options.DryRun = False,
    report: options.Report = None,
    log_json: options.LogJson = False,
) -> None:
    """Write the tissue tiles of slides as image files, with a table of all of them; no model is needed.

    OUT gets a folder a slide with OUT/SLIDE_ID/X_Y.png (X, Y: level-0 pixels), and OUT/tiles.csv, which
    `wsi-embed train OUT/tiles.csv` takes. The tiles are those of embed with the same options. Slides that
    are there already are skipped: after an interruption run the same command again. A slide that fails
    does not stop the others. Exit codes: 0 all done, 1 some slides failed, 2 wrong usage, 75 stopped
    early (run again to go on).
    """
    stop = threading.Event()
    with job_signals(stop):  # before the imports: they take most of the first second
        from wsi_embed.cli.display import open_display
        from wsi_embed.cli.reports import check_reports, write_reports
        from wsi_embed.tiles.tile import tile

        reports = report or []
        check_reports(reports)
        with open_display(log_json, options.unknown_settings(os.environ)) as display:
            done = tile(
                list(slides), out, mpp=mpp, tile_px=tile_px,
                format=format_,  # type: ignore[arg-type]  # checked by TileSettings
                quality=quality, max_tiles=max_tiles, seed=seed, overlap=overlap,
                edge=edge,  # type: ignore[arg-type]  # checked by Tiling
                tissue=tissue, tissue_set=tissue_set or (), min_tissue=min_tissue,
                mpp_override=mpp_override, icc=icc,
                reader=reader,
                fast_downsample=fast_downsample,
                roi=roi, roi_include=roi_include or (), roi_exclude=roi_exclude or (),
                roi_missing=roi_missing,  # type: ignore[arg-type]  # checked by RegionRules
                workers=workers, overwrite=overwrite, shard=shard, max_failures=max_failures,
                engine=engine,
                address=address, actors=actors,
                limit=limit, cache=cache, cache_gb=cache_gb, dry_run=dry_run,
                listener=display, stop=stop,
            )  # fmt: skip
    display.show_report(done)
    write_reports(done, reports)
    raise typer.Exit(done.exit_code)
