"""`wsi-embed SLIDES... --out STORE`."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Annotated

import typer

from wsi_embed.cli import options
from wsi_embed.cli.options import INPUT, JOB, RUN, TILES, option
from wsi_embed.cli.signals import job_signals

DEMONSTRATION = (
    "using the demonstration model that comes with wsi-embed (see `wsi-embed info default`); "
    "for real work train your own: wsi-embed train"
)


def command(
    slides: options.Slides,
    out: Annotated[
        str,
        option(
            "--out",
            "The Zarr store, a folder, s3://... or gs://...; made, or added to.",
            INPUT,
            metavar="PATH",
            show_default=False,
        ),
    ],
    model: Annotated[
        Path | None,
        option(
            "--model",
            "Exported model (.onnx, .ts), or `default-int8`. Default: the demonstration one.",
            INPUT,
        ),
    ] = None,
    mpp: Annotated[
        float | None, option("--mpp", "Resolution of a tile, um per pixel. Default: the model's.", TILES)
    ] = None,
    tile_px: Annotated[
        int | None, option("--tile-px", "Side of a tile, pixels. Default: the model's.", TILES)
    ] = None,
    overlap: options.Overlap = 0,
    edge: options.Edge = "drop",
    tissue: options.Tissue = "otsu",
    tissue_set: options.TissueSet = None,
    min_tissue: options.MinTissue = 0.25,
    mpp_override: options.MppOverride = None,
    roi: options.Roi = None,
    roi_include: options.RoiInclude = None,
    roi_exclude: options.RoiExclude = None,
    roi_missing: options.RoiMissing = "fail",
    icc: options.Icc = False,
    reader: options.Reader = "auto",
    fast_downsample: options.FastDownsample = False,
    dtype: Annotated[str, option("--dtype", "Type of the features: float16 or float32.", INPUT)] = "float16",
    overwrite: options.Overwrite = False,
    device: Annotated[
        str, option("--device", "auto, cpu, cuda[:N], tensorrt[:N], openvino, openvino:bf16; cuda:all.", RUN)
    ] = "auto",
    batch_size: Annotated[
        int | None,
        option("--batch-size", "Tiles a batch. Default: 16 on the CPU, the best of a trial on a GPU.", RUN),
    ] = None,
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
    on_bad_tile: Annotated[
        str,
        option(
            "--on-bad-tile", "A tile that cannot be read: fail the slide, or go on with white in place.", JOB
        ),
    ] = "fail",
    report: options.Report = None,
    log_json: options.LogJson = False,
) -> None:
    """Tile slides and write features and clusters of every tissue tile into a Zarr store.

    Slides that the store has already are skipped: after an interruption run the same command again.
    A slide that fails does not stop the others. Exit codes: 0 all done, 1 some slides failed, 2 wrong
    usage, 75 stopped early (run again to go on).
    """
    stop = threading.Event()
    with job_signals(stop):  # before the imports: they take most of the first second
        from wsi_embed.cli.display import open_display
        from wsi_embed.cli.reports import check_reports, write_reports
        from wsi_embed.encoder import is_demonstration
        from wsi_embed.features.embed import embed

        reports = report or []
        check_reports(reports)
        notes = options.unknown_settings(os.environ)
        if is_demonstration(model):
            notes.append(DEMONSTRATION)
        with open_display(log_json, notes) as display:
            done = embed(
                list(slides), out, model=model, mpp=mpp, tile_px=tile_px, overlap=overlap,
                edge=edge,  # type: ignore[arg-type]  # checked by Tiling
                tissue=tissue, tissue_set=tissue_set or (), min_tissue=min_tissue,
                mpp_override=mpp_override, icc=icc,
                reader=reader,
                fast_downsample=fast_downsample,
                roi=roi, roi_include=roi_include or (), roi_exclude=roi_exclude or (),
                roi_missing=roi_missing,  # type: ignore[arg-type]  # checked by RegionRules
                device=device,
                batch_size=batch_size, workers=workers, dtype=dtype, overwrite=overwrite,
                engine=engine,
                address=address, actors=actors, shard=shard, max_failures=max_failures,
                on_bad_tile=on_bad_tile,  # type: ignore[arg-type]  # checked by embed
                limit=limit, cache=cache, cache_gb=cache_gb, dry_run=dry_run, listener=display, stop=stop,
            )  # fmt: skip
    display.show_report(done)
    write_reports(done, reports, list(slides), out)
    raise typer.Exit(done.exit_code)
