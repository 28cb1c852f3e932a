"""`wsi-embed SLIDES... --out STORE`."""

from __future__ import annotations

import difflib
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from wsi_embed.cli.signals import StopSignals

# SIGTERM must be answered within 10 s, whatever a batch or a slow disk is doing. What the process leaves
# behind then is an incomplete slide, which readers do not see.
HARD_STOP_SECONDS = 8.0
LAST_WORDS = "stopped early, without waiting for the slide in hand; run the same command again to go on"

DEMONSTRATION = (
    "using the demonstration model that comes with wsi-embed (see `wsi-embed info default`); "
    "for real work train your own: wsi-embed train"
)
ENV = "WSI_EMBED_"
_ENV_NAMES: list[str] = []
INPUT, TILES, ROI, RUN, JOB = "Input and output", "Tiles", "Regions", "Running", "Jobs"


def _option(name: str, help_: str, panel: str, **more: Any) -> Any:
    """An option that can also be set as WSI_EMBED_<OPTION>."""
    env = ENV + name.lstrip("-").replace("-", "_").upper()
    _ENV_NAMES.append(env)
    return typer.Option(name, help=help_, rich_help_panel=panel, envvar=env, show_envvar=False, **more)


def command(
    slides: Annotated[
        list[Path],
        typer.Argument(
            help="Slides, folders (at any depth), or manifests (CSV, Parquet).", show_default=False
        ),
    ],
    out: Annotated[Path, _option("--out", "The Zarr store; made, or added to.", INPUT, show_default=False)],
    model: Annotated[
        Path | None,
        _option("--model", "Exported model (.onnx, .ts). Default: the demonstration model.", INPUT),
    ] = None,
    mpp: Annotated[
        float | None, _option("--mpp", "Resolution of a tile, um per pixel. Default: the model's.", TILES)
    ] = None,
    tile_px: Annotated[
        int | None, _option("--tile-px", "Side of a tile, pixels. Default: the model's.", TILES)
    ] = None,
    overlap: Annotated[
        int, _option("--overlap", "Overlap of neighbouring tiles, pixels at --mpp.", TILES)
    ] = 0,
    edge: Annotated[
        str, _option("--edge", "Tiles that stick out of the slide: drop, or pad with white.", TILES)
    ] = "drop",
    tissue: Annotated[
        str,
        _option(
            "--tissue",
            "Tissue mask: otsu; otsu-local for uneven or stitched backgrounds; hsv with fixed limits; "
            "model:FILE, a segmentation network in ONNX; none (whole slide).",
            TILES,
        ),
    ] = "otsu",
    tissue_set: Annotated[
        list[str] | None,
        _option(
            "--tissue-set",
            "A number of the tissue recipe; give it once for each. Pieces below min_area_um2 are dropped, "
            "holes above max_hole_um2 kept, pen=off keeps pen marks; a wrong KEY lists them all. "
            "Default: as in docs/tissue.md.",
            TILES,
            metavar="KEY=VALUE",
        ),
    ] = None,
    min_tissue: Annotated[
        float, _option("--min-tissue", "Least share of tissue of a tile, 0 to 1.", TILES)
    ] = 0.25,
    mpp_override: Annotated[
        float | None,
        _option(
            "--mpp-override",
            "Resolution of level 0 of every slide, um per pixel, whatever its metadata say "
            "(a manifest's mpp comes first). Default: none.",
            TILES,
        ),
    ] = None,
    roi: Annotated[
        Path | None,
        _option(
            "--roi",
            "Regions to take (GeoJSON, ASAP XML): a file for one slide, or a folder with one a slide, "
            "called by slide id (a manifest's roi comes first). Default: whole slides.",
            ROI,
        ),
    ] = None,
    roi_include: Annotated[
        list[str] | None,
        _option("--roi-include", "Class of regions to take; may be repeated. Default: all.", ROI),
    ] = None,
    roi_exclude: Annotated[
        list[str] | None,
        _option("--roi-exclude", "Class of regions to leave out; may be repeated. Default: none.", ROI),
    ] = None,
    roi_missing: Annotated[
        str, _option("--roi-missing", "A slide without annotations: fail, skip, or take it whole.", ROI)
    ] = "fail",
    icc: Annotated[
        bool,
        _option("--icc", "Convert colours to sRGB by the slide's embedded ICC profile. Default: off.", TILES),
    ] = False,
    dtype: Annotated[str, _option("--dtype", "Type of the features: float16 or float32.", INPUT)] = "float16",
    overwrite: Annotated[
        bool,
        _option("--overwrite", "Redo slides that the store has with other settings. Default: off.", INPUT),
    ] = False,
    device: Annotated[str, _option("--device", "auto, cpu, cuda or cuda:N.", RUN)] = "auto",
    batch_size: Annotated[
        int | None, _option("--batch-size", "Tiles a batch. Default: 32 on the CPU, 256 on CUDA.", RUN)
    ] = None,
    workers: Annotated[int | None, _option("--workers", "Reader threads. Default: one a core.", RUN)] = None,
    shard: Annotated[
        str | None,
        _option("--shard", "i/n: take the i-th of n shares of the slides, counted from 0.", JOB),
    ] = None,
    limit: Annotated[
        int | None, _option("--limit", "Take only the first so many slides. Default: all.", JOB)
    ] = None,
    dry_run: Annotated[
        bool, _option("--dry-run", "Open the slides and count tiles; write nothing. Default: off.", JOB)
    ] = False,
    on_bad_tile: Annotated[
        str,
        _option(
            "--on-bad-tile", "A tile that cannot be read: fail the slide, or go on with white in place.", JOB
        ),
    ] = "fail",
    report: Annotated[
        list[Path] | None,
        _option(
            "--report",
            "Write what happened to every slide: a .json file, or a .html page with pictures; "
            "may be given twice. Default: none.",
            JOB,
        ),
    ] = None,
    log_json: Annotated[
        bool, _option("--log-json", "Print JSON lines, for a container's log. Default: off.", JOB)
    ] = False,
) -> None:
    """Tile slides and write features and clusters of every tissue tile into a Zarr store.

    Slides that the store has already are skipped: after an interruption run the same command again.
    A slide that fails does not stop the others. Exit codes: 0 all done, 1 some slides failed, 2 wrong
    usage, 75 stopped early (run again to go on).
    """
    stop = threading.Event()
    with StopSignals(
        stop, LAST_WORDS, HARD_STOP_SECONDS
    ):  # before the imports: they take most of the first second
        from wsi_embed.api import embed
        from wsi_embed.cli.display import open_display
        from wsi_embed.cli.reports import check_reports, write_reports

        reports = report or []
        check_reports(reports)
        notes = unknown_settings(os.environ)
        if model is None:
            notes.append(DEMONSTRATION)
        with open_display(log_json, notes) as display:
            done = embed(
                list(slides), out, model=model, mpp=mpp, tile_px=tile_px, overlap=overlap,
                edge=edge,  # type: ignore[arg-type]  # checked by Tiling
                tissue=tissue, tissue_set=tissue_set or (), min_tissue=min_tissue,
                mpp_override=mpp_override, icc=icc,
                roi=roi, roi_include=roi_include or (), roi_exclude=roi_exclude or (),
                roi_missing=roi_missing,  # type: ignore[arg-type]  # checked by RegionRules
                device=device,
                batch_size=batch_size, workers=workers, dtype=dtype, overwrite=overwrite, shard=shard,
                on_bad_tile=on_bad_tile,  # type: ignore[arg-type]  # checked by embed
                limit=limit, dry_run=dry_run, listener=display, stop=stop,
            )  # fmt: skip
    display.show_report(done)
    write_reports(done, reports, list(slides), out)
    raise typer.Exit(done.exit_code)


def unknown_settings(environ: Mapping[str, str]) -> list[str]:
    """Environment variables that look like a mistyped option, one line each."""
    mistyped = (name for name in sorted(environ) if name.startswith(ENV) and name not in _ENV_NAMES)
    meant = ((name, difflib.get_close_matches(name, _ENV_NAMES, n=1, cutoff=0.85)) for name in mistyped)
    return [f"{name} is set, but is no option; did you mean {close[0]}?" for name, close in meant if close]
