"""Options that several commands take: one definition of each, with its default."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsi_embed.cli.parameters import INPUT, JOB, ROI, RUN, TILES, option

StorePlace = Annotated[
    str,
    typer.Argument(help="The store: a folder, s3://... or gs://...", metavar="STORE", show_default=False),
]
ClustersFolder = Annotated[
    Path | None,
    typer.Option(
        "--clusters",
        help="Folder of wsi-embed cluster: its clusters replace those of the model.",
        show_default=False,
    ),
]
Slides = Annotated[
    list[str],
    typer.Argument(
        help="Slides, folders (at any depth), or manifests (CSV, Parquet); also at s3://, gs://, http(s)://.",
        metavar="SLIDES...",
        show_default=False,
    ),
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


class TilingOptions:
    """Options of how slides are tiled; see `wsi_embed.tiling.settings.Tiling`."""

    overlap: Annotated[int, option("--overlap", "Overlap of neighbouring tiles, pixels at --mpp.", TILES)] = 0
    edge: Annotated[
        str, option("--edge", "Tiles that stick out of the slide: drop, or pad with white.", TILES)
    ] = "drop"
    tissue: Annotated[
        str,
        option(
            "--tissue",
            "Tissue mask: otsu; otsu-local for uneven or stitched backgrounds; hsv with fixed limits; "
            "model:FILE, a segmentation network in ONNX; none (whole slide).",
            TILES,
        ),
    ] = "otsu"
    tissue_set: Annotated[
        list[str] | None,
        option(
            "--tissue-set",
            "A number of the tissue recipe; give it once for each. Pieces below min_area_um2 are dropped, "
            "holes above max_hole_um2 kept, pen=off keeps pen marks; a wrong KEY lists them all. "
            "Default: as in docs/tissue.md.",
            TILES,
            metavar="KEY=VALUE",
        ),
    ] = None
    min_tissue: Annotated[
        float, option("--min-tissue", "Least share of tissue of a tile, 0 to 1.", TILES)
    ] = 0.25
    mpp_override: Annotated[
        float | None,
        option(
            "--mpp-override",
            "Resolution of level 0 of every slide, um per pixel, whatever its metadata say "
            "(a manifest's mpp comes first). Default: none.",
            TILES,
        ),
    ] = None
    icc: Annotated[
        bool,
        option("--icc", "Convert colours to sRGB by the slide's embedded ICC profile. Default: off.", TILES),
    ] = False
    reader: Annotated[
        str,
        option(
            "--reader",
            "Who reads slides: openslide; tiff, for TIFF slides of JPEG tiles (SVS and others), whose"
            " pixels it decodes once and faster; auto, which takes tiff where it can.",
            RUN,
        ),
    ] = "auto"
    fast_downsample: Annotated[
        bool,
        option(
            "--fast-downsample",
            "Let the JPEG decoder do a part of the resampling where --reader tiff can: faster, but "
            "other pixels. Default: off.",
            TILES,
        ),
    ] = False
    roi: Annotated[
        Path | None,
        option(
            "--roi",
            "Regions to take (GeoJSON, ASAP XML): a file for one slide, or a folder with one a slide, "
            "called by slide id (a manifest's roi comes first). Default: whole slides.",
            ROI,
        ),
    ] = None
    roi_include: Annotated[
        list[str] | None,
        option(
            "--roi-include",
            "Class of regions to take; may be repeated, or be a list with commas. Default: all.",
            ROI,
        ),
    ] = None
    roi_exclude: Annotated[
        list[str] | None,
        option(
            "--roi-exclude",
            "Class of regions to leave out; may be repeated, or be a list with commas. Default: none.",
            ROI,
        ),
    ] = None
    roi_missing: Annotated[
        str, option("--roi-missing", "A slide without annotations: fail, skip, or take it whole.", ROI)
    ] = "fail"


class RunOptions:
    """Options of how a job is run; see `wsi_embed.jobs.options.JobOptions`."""

    overwrite: Annotated[
        bool,
        option("--overwrite", "Redo slides that are there with other settings. Default: off.", INPUT),
    ] = False
    workers: Annotated[int | None, option("--workers", "Reader threads. Default: one a core.", RUN)] = None
    engine: Annotated[
        str,
        option(
            "--engine",
            "Who runs the slides: local, this process; ray, actors of a Ray cluster (docs/ray.md).",
            JOB,
        ),
    ] = "local"
    address: Annotated[
        str | None,
        option(
            "--address",
            "The Ray cluster: HOST:PORT, auto, or local. Default: RAY_ADDRESS, else local, this "
            "machine alone.",
            JOB,
        ),
    ] = None
    actors: Annotated[
        int | None,
        option(
            "--actors",
            "Ray actors to ask for, each with --workers cores (at most 4 by default), and a GPU where"
            " there are any. Default: as many as there is room for.",
            JOB,
        ),
    ] = None
    shard: Annotated[
        str | None,
        option(
            "--shard",
            "i/n: take the i-th of n shares of the slides, counted from 0. auto: as the task of a "
            "Slurm array, Kubernetes indexed job or AWS Batch array.",
            JOB,
        ),
    ] = None
    max_failures: Annotated[
        int | None,
        option("--max-failures", "Stop once more slides than this have failed. Default: never.", JOB),
    ] = None
    limit: Annotated[
        int | None, option("--limit", "Take only the first so many slides. Default: all.", JOB)
    ] = None
    cache: Annotated[
        Path | None,
        option(
            "--cache",
            "Folder for slides that are fetched from s3://, gs:// or http(s)://, each removed when it"
            " is done. Default: the system's temporary folder.",
            RUN,
        ),
    ] = None
    cache_gb: Annotated[
        float | None,
        option("--cache-gb", "Most GB in --cache at a time. Default: half of what is free.", RUN),
    ] = None
    dry_run: Annotated[
        bool, option("--dry-run", "Open the slides and count tiles; write nothing. Default: off.", JOB)
    ] = False
