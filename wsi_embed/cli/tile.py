"""`wsi-embed tile SLIDES... --out DIR`."""

from __future__ import annotations

import os
import threading
from typing import Annotated, Any

import typer

from wsi_embed.cli import options
from wsi_embed.cli.options import RunOptions, TilingOptions
from wsi_embed.cli.parameters import INPUT, TILES, given, option, takes, unknown_settings
from wsi_embed.cli.signals import job_signals
from wsi_embed.cli.wording import reworded


@takes(TilingOptions, RunOptions)
def command(
    slides: options.Slides,
    out: Annotated[
        str,
        option("--out", "Output folder; created, or added to.", INPUT, metavar="PATH", show_default=False),
    ],
    mpp: Annotated[float, option("--mpp", "Resolution of a tile, um per pixel.", TILES)] = 0.5,
    tile_px: Annotated[int, option("--tile-px", "Side of a tile, pixels.", TILES)] = 224,
    format_: Annotated[
        str, option("--format", "Image format: png (lossless) or jpeg (4:4:4).", INPUT)
    ] = "png",
    quality: Annotated[int, option("--quality", "Quality of a JPEG, 1 to 100.", INPUT)] = 90,
    max_tiles: Annotated[
        int | None,
        option("--max-tiles", "Size of a random sample of tiles per slide. Default: all.", TILES),
    ] = None,
    seed: Annotated[int, option("--seed", "Seed of the sample.", TILES)] = 0,
    report: options.Report = None,
    log_json: options.LogJson = False,
    **shared: Any,
) -> None:
    """Write the tissue tiles of slides as image files, with a table of all of them; no model is needed.

    For each slide, tiles are written to OUT/SLIDE_ID/X_Y.png (X, Y: level-0 pixels). OUT/tiles.csv lists all
    of them; `wsi-embed train OUT/tiles.csv` takes it. The tiles are those of embed with the same options.
    Existing slides are skipped: after an interruption, run the same command again. A slide that fails does
    not stop the others. Exit codes: 0 all done, 1 some slides failed, 2 wrong usage, 75 stopped early (run
    again to continue).
    """
    stop = threading.Event()
    with job_signals(stop):  # before the imports: they take most of the first second
        from wsi_embed.cli.display import open_display
        from wsi_embed.cli.reports import check_reports, preview, wants_pictures, write_reports
        from wsi_embed.tiles.tile import tile

        reports = report or []
        check_reports(reports)
        with open_display(log_json, unknown_settings(os.environ)) as display:
            if wants_pictures(reports):
                display.preview = preview()
            done = tile(
                list(slides), out, mpp=mpp, tile_px=tile_px,
                format=format_,  # type: ignore[arg-type]  # checked by TileSettings
                quality=quality, max_tiles=max_tiles, seed=seed, listener=display, stop=stop, **given(shared),
            )  # fmt: skip
    done = reworded(done)
    display.show_report(done)
    write_reports(done, reports)
    raise typer.Exit(done.exit_code)
