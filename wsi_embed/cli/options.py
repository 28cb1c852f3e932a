"""Options of the commands that work on slides: one definition of each, for all of them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from wsi_embed.inputs.schedulers import SHARD_COUNT

ENV = "WSI_EMBED_"
_ENV_NAMES = {SHARD_COUNT}
INPUT, TILES, ROI, RUN, JOB = "Input and output", "Tiles", "Regions", "Running", "Jobs"


def option(name: str, help_: str, panel: str, **more: Any) -> Any:
    """An option that can also be set as WSI_EMBED_<OPTION>."""
    env = ENV + name.lstrip("-").replace("-", "_").upper()
    _ENV_NAMES.add(env)
    return typer.Option(name, help=help_, rich_help_panel=panel, envvar=env, show_envvar=False, **more)


def unknown_settings(environ: Mapping[str, str]) -> list[str]:
    """Environment variables that look like a mistyped option, one line each."""
    mistyped = (name for name in sorted(environ) if name.startswith(ENV) and name not in _ENV_NAMES)
    meant = (
        (name, difflib.get_close_matches(name, sorted(_ENV_NAMES), n=1, cutoff=0.85)) for name in mistyped
    )
    return [f"{name} is set, but is no option; did you mean {close[0]}?" for name, close in meant if close]


StorePlace = Annotated[
    str,
    typer.Argument(help="The store: a folder, s3://... or gs://...", metavar="STORE", show_default=False),
]
Slides = Annotated[
    list[str],
    typer.Argument(
        help="Slides, folders (at any depth), or manifests (CSV, Parquet); also at s3://, gs://, http(s)://.",
        metavar="SLIDES...",
        show_default=False,
    ),
]
Overlap = Annotated[int, option("--overlap", "Overlap of neighbouring tiles, pixels at --mpp.", TILES)]
Edge = Annotated[str, option("--edge", "Tiles that stick out of the slide: drop, or pad with white.", TILES)]
Tissue = Annotated[
    str,
    option(
        "--tissue",
        "Tissue mask: otsu; otsu-local for uneven or stitched backgrounds; hsv with fixed limits; "
        "model:FILE, a segmentation network in ONNX; none (whole slide).",
        TILES,
    ),
]
TissueSet = Annotated[
    list[str] | None,
    option(
        "--tissue-set",
        "A number of the tissue recipe; give it once for each. Pieces below min_area_um2 are dropped, "
        "holes above max_hole_um2 kept, pen=off keeps pen marks; a wrong KEY lists them all. "
        "Default: as in docs/tissue.md.",
        TILES,
        metavar="KEY=VALUE",
    ),
]
MinTissue = Annotated[float, option("--min-tissue", "Least share of tissue of a tile, 0 to 1.", TILES)]
MppOverride = Annotated[
    float | None,
    option(
        "--mpp-override",
        "Resolution of level 0 of every slide, um per pixel, whatever its metadata say "
        "(a manifest's mpp comes first). Default: none.",
        TILES,
    ),
]
Icc = Annotated[
    bool,
    option("--icc", "Convert colours to sRGB by the slide's embedded ICC profile. Default: off.", TILES),
]
Reader = Annotated[
    str,
    option(
        "--reader",
        "Who reads slides: openslide; tiff, for TIFF slides of JPEG tiles (SVS and others), whose pixels it "
        "decodes once and faster; auto, which takes tiff where it can.",
        RUN,
    ),
]
FastDownsample = Annotated[
    bool,
    option(
        "--fast-downsample",
        "Let the JPEG decoder do a part of the resampling where --reader tiff can: faster, but other pixels. "
        "Default: off.",
        TILES,
    ),
]
Roi = Annotated[
    Path | None,
    option(
        "--roi",
        "Regions to take (GeoJSON, ASAP XML): a file for one slide, or a folder with one a slide, "
        "called by slide id (a manifest's roi comes first). Default: whole slides.",
        ROI,
    ),
]
RoiInclude = Annotated[
    list[str] | None,
    option(
        "--roi-include",
        "Class of regions to take; may be repeated, or be a list with commas. Default: all.",
        ROI,
    ),
]
RoiExclude = Annotated[
    list[str] | None,
    option(
        "--roi-exclude",
        "Class of regions to leave out; may be repeated, or be a list with commas. Default: none.",
        ROI,
    ),
]
RoiMissing = Annotated[
    str, option("--roi-missing", "A slide without annotations: fail, skip, or take it whole.", ROI)
]
Overwrite = Annotated[
    bool,
    option("--overwrite", "Redo slides that are there with other settings. Default: off.", INPUT),
]
Workers = Annotated[int | None, option("--workers", "Reader threads. Default: one a core.", RUN)]
Engine = Annotated[
    str,
    option(
        "--engine",
        "Who runs the slides: local, this process; ray, actors of a Ray cluster (docs/ray.md).",
        JOB,
    ),
]
Address = Annotated[
    str | None,
    option(
        "--address",
        "The Ray cluster: HOST:PORT, auto, or local. Default: RAY_ADDRESS, else local, this machine alone.",
        JOB,
    ),
]
Actors = Annotated[
    int | None,
    option(
        "--actors",
        "Ray actors to ask for, each with --workers cores (at most 4 by default), and a GPU where there are "
        "any. Default: as many as there is room for.",
        JOB,
    ),
]
Shard = Annotated[
    str | None,
    option(
        "--shard",
        "i/n: take the i-th of n shares of the slides, counted from 0. auto: as the task of a Slurm array, "
        "Kubernetes indexed job or AWS Batch array.",
        JOB,
    ),
]
MaxFailures = Annotated[
    int | None,
    option("--max-failures", "Stop once more slides than this have failed. Default: never.", JOB),
]
Limit = Annotated[int | None, option("--limit", "Take only the first so many slides. Default: all.", JOB)]
Cache = Annotated[
    Path | None,
    option(
        "--cache",
        "Folder for slides that are fetched from s3://, gs:// or http(s)://, each removed when it is done. "
        "Default: the system's temporary folder.",
        RUN,
    ),
]
CacheGb = Annotated[
    float | None, option("--cache-gb", "Most GB in --cache at a time. Default: half of what is free.", RUN)
]
DryRun = Annotated[
    bool, option("--dry-run", "Open the slides and count tiles; write nothing. Default: off.", JOB)
]
Report = Annotated[
    list[Path] | None,
    option(
        "--report",
        "Write what happened to every slide: a .json file, or a .html page with pictures; "
        "may be given twice. Default: none.",
        JOB,
    ),
]
LogJson = Annotated[bool, option("--log-json", "Print JSON lines, for a container's log. Default: off.", JOB)]
