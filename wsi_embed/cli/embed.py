"""`wsi-embed SLIDES... --out STORE`."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Annotated, Any

import typer

from wsi_embed.cli import options
from wsi_embed.cli.options import RunOptions, TilingOptions
from wsi_embed.cli.parameters import INPUT, JOB, RUN, TILES, given, is_on, option, takes, unknown_settings
from wsi_embed.cli.signals import job_signals
from wsi_embed.cli.wording import reworded

DEMONSTRATION = (
    "using the demonstration model that comes with wsi-embed (see `wsi-embed info default`); "
    "for real work train your own: wsi-embed train"
)


@takes(TilingOptions, RunOptions)
def command(
    slides: options.Slides,
    out: Annotated[
        str,
        option(
            "--out",
            "Zarr store: a folder, s3://... or gs://...; created, or added to.",
            INPUT,
            metavar="PATH",
            show_default=False,
        ),
    ],
    model: Annotated[
        Path | None,
        option(
            "--model",
            "Exported model (.onnx, .ts), or `default-int8`. Default: the demonstration model.",
            INPUT,
        ),
    ] = None,
    mpp: Annotated[
        float | None, option("--mpp", "Resolution of a tile, um per pixel. Default: the model's.", TILES)
    ] = None,
    tile_px: Annotated[
        int | None, option("--tile-px", "Side of a tile, pixels. Default: the model's.", TILES)
    ] = None,
    dtype: Annotated[
        str, option("--dtype", "Data type of the features: float16 or float32.", INPUT)
    ] = "float16",
    quality: Annotated[
        str,
        option("--quality", "Quality of every tile (focus, pen, darkness) as arrays: on or off.", INPUT),
    ] = "on",
    device: Annotated[
        str, option("--device", "auto, cpu, cuda[:N], tensorrt[:N], openvino, openvino:bf16; cuda:all.", RUN)
    ] = "auto",
    batch_size: Annotated[
        int | None,
        option("--batch-size", "Tiles per batch. Default: 16 on a CPU, chosen by measurement on a GPU.", RUN),
    ] = None,
    on_bad_tile: Annotated[
        str,
        option(
            "--on-bad-tile", "A tile that cannot be read: fail the slide, or take the tile as white.", JOB
        ),
    ] = "fail",
    report: options.Report = None,
    log_json: options.LogJson = False,
    **shared: Any,
) -> None:
    """Tile slides and write features and clusters of every tissue tile into a Zarr store.

    Slides that the store already contains are skipped: after an interruption, run the same command again. A
    slide that fails does not stop the others. Exit codes: 0 all done, 1 some slides failed, 2 wrong usage, 75
    stopped early (run again to continue).
    """
    stop = threading.Event()
    with job_signals(stop):  # before the imports: they take most of the first second
        from wsi_embed.cli.display import open_display
        from wsi_embed.cli.reports import check_reports, preview, wants_pictures, write_reports
        from wsi_embed.encoder import is_demonstration
        from wsi_embed.features.embed import embed

        reports = report or []
        check_reports(reports)
        notes = unknown_settings(os.environ)
        if is_demonstration(model):
            notes.append(DEMONSTRATION)
        with open_display(log_json, notes) as display:
            if shared["dry_run"] and wants_pictures(reports):
                display.preview = preview()
            done = embed(
                list(slides), out, model=model, mpp=mpp, tile_px=tile_px, device=device,
                batch_size=batch_size, dtype=dtype, quality=is_on("--quality", quality),
                on_bad_tile=on_bad_tile,  # type: ignore[arg-type]  # checked by embed
                listener=display, stop=stop, **given(shared),
            )  # fmt: skip
    done = reworded(done)
    display.show_report(done)
    write_reports(done, reports, list(slides), out)
    raise typer.Exit(done.exit_code)
