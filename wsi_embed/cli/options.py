"""Options shared by several commands, each defined once with its default."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsi_embed.cli.parameters import INPUT, JOB, ROI, RUN, TILES, option

StorePlace = Annotated[
    str,
    typer.Argument(help="Store: a folder, s3://... or gs://...", metavar="STORE", show_default=False),
]
ClustersFolder = Annotated[
    Path | None,
    typer.Option(
        "--clusters",
        help="Folder of wsi-embed cluster, whose clusters replace those of the model. Default: those of the "
        "model, with the names in <store>-clusters.json beside the store, if it exists.",
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
        "Write a report on every slide: a .json file, or a .html page with pictures; "
        "may be given twice. Default: none.",
        JOB,
    ),
]
ModelTilePx = Annotated[
    int | None, typer.Option("--tile-px", help="Side of a tile in pixels, for a model without metadata.")
]
ModelMpp = Annotated[
    float | None,
    typer.Option("--mpp", help="Resolution of the tiles, um per pixel, for a model without metadata."),
]
LogJson = Annotated[bool, option("--log-json", "Log JSON lines, for containers. Default: off.", JOB)]


class TilingOptions:
    """Options for tiling; see `wsi_embed.tiling.settings.Tiling`."""

    overlap: Annotated[int, option("--overlap", "Overlap of neighbouring tiles, pixels at --mpp.", TILES)] = 0
    edge: Annotated[
        str, option("--edge", "Tiles that extend beyond the slide: drop, or pad with white.", TILES)
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
            "Parameter of the tissue recipe; may be repeated. Pieces below min_area_um2 are dropped, "
            "holes above max_hole_um2 kept, pen=off keeps pen marks; an unknown KEY lists all of them. "
            "Defaults: docs/tissue.md.",
            TILES,
            metavar="KEY=VALUE",
        ),
    ] = None
    min_tissue: Annotated[
        float, option("--min-tissue", "Smallest share of tissue in a tile, 0 to 1.", TILES)
    ] = 0.25
    mpp_default: Annotated[
        float | None,
        option(
            "--mpp-default",
            "Resolution of level 0, um per pixel, of slides whose metadata do not say it. Default: none.",
            TILES,
        ),
    ] = None
    mpp_override: Annotated[
        float | None,
        option(
            "--mpp-override",
            "Resolution of level 0 of every slide, um per pixel, instead of its metadata "
            "(mpp in a manifest takes precedence). Default: none.",
            TILES,
        ),
    ] = None
    force: Annotated[
        bool,
        option(
            "--force",
            "Accept a given resolution that differs from the metadata by more than a factor of two. "
            "Default: off.",
            TILES,
        ),
    ] = False
    icc: Annotated[
        bool,
        option(
            "--icc", "Convert colours to sRGB with the slide's embedded ICC profile. Default: off.", TILES
        ),
    ] = False
    reader: Annotated[
        str,
        option(
            "--reader",
            "Reader of slides: openslide; tiff, for TIFF slides with JPEG tiles (SVS and others), which it "
            "decodes faster and only once; zarr, for OME-Zarr; fastslide, for CZI, iSyntax and VSI; auto, "
            "which is tiff or zarr where possible.",
            RUN,
        ),
    ] = "auto"
    fast_downsample: Annotated[
        bool,
        option(
            "--fast-downsample",
            "Let the JPEG decoder do part of the resampling where --reader tiff supports it: faster, with "
            "slightly different pixels. Default: off.",
            TILES,
        ),
    ] = False
    min_focus: Annotated[
        float | None,
        option(
            "--min-focus",
            "Leave out tiles with a lower focus, such as 4 at 0.5 um per pixel (docs/quality.md). "
            "Default: none.",
            TILES,
        ),
    ] = None
    max_pen: Annotated[
        float | None,
        option(
            "--max-pen",
            "Leave out tiles of which a larger share has the colour of ink, 0 to 1. Default: none.",
            TILES,
        ),
    ] = None
    max_dark: Annotated[
        float | None,
        option(
            "--max-dark",
            "Leave out tiles with a higher optical density, such as folds: 0.9. Default: none.",
            TILES,
        ),
    ] = None
    roi: Annotated[
        Path | None,
        option(
            "--roi",
            "Regions to take (GeoJSON, ASAP XML): a file for one slide, or a folder with one file per slide, "
            "named by slide id (roi in a manifest takes precedence). Default: whole slides.",
            ROI,
        ),
    ] = None
    roi_include: Annotated[
        list[str] | None,
        option(
            "--roi-include",
            "Class of regions to take; may be repeated, or a comma-separated list. Default: all.",
            ROI,
        ),
    ] = None
    roi_exclude: Annotated[
        list[str] | None,
        option(
            "--roi-exclude",
            "Class of regions to leave out; may be repeated, or a comma-separated list. Default: none.",
            ROI,
        ),
    ] = None
    roi_missing: Annotated[
        str, option("--roi-missing", "A slide without annotations: fail, skip, or take the whole slide.", ROI)
    ] = "fail"


class RunOptions:
    """Options for running a job; see `wsi_embed.jobs.options.JobOptions`."""

    overwrite: Annotated[
        bool,
        option("--overwrite", "Redo slides that exist with other settings. Default: off.", INPUT),
    ] = False
    workers: Annotated[int | None, option("--workers", "Reader threads. Default: one per core.", RUN)] = None
    engine: Annotated[
        str,
        option(
            "--engine",
            "Engine that runs the slides: local (this process) or ray (a Ray cluster, docs/ray.md).",
            JOB,
        ),
    ] = "local"
    address: Annotated[
        str | None,
        option(
            "--address",
            "Ray cluster: HOST:PORT, auto, or local (this machine only). Default: RAY_ADDRESS, else local.",
            JOB,
        ),
    ] = None
    actors: Annotated[
        int | None,
        option(
            "--actors",
            "Number of Ray actors, each with --workers cores (at most 4 by default), and a GPU if there "
            "are any. Default: as many as there is room for.",
            JOB,
        ),
    ] = None
    shard: Annotated[
        str | None,
        option(
            "--shard",
            "i/n: take the i-th of n shards of the slides, counted from 0. auto: take the shard of this task "
            "in a Slurm array, Kubernetes indexed job or AWS Batch array.",
            JOB,
        ),
    ] = None
    max_failures: Annotated[
        int | None,
        option(
            "--max-failures", "Stop when more than this number of slides have failed. Default: never.", JOB
        ),
    ] = None
    limit: Annotated[int | None, option("--limit", "Take only the first N slides. Default: all.", JOB)] = None
    cache: Annotated[
        Path | None,
        option(
            "--cache",
            "Folder for slides fetched from s3://, gs:// or http(s)://, each removed when it is done. "
            "Default: the system's temporary folder.",
            RUN,
        ),
    ] = None
    cache_gb: Annotated[
        float | None,
        option("--cache-gb", "Size limit of --cache in GB. Default: half of the free disk space.", RUN),
    ] = None
    ext: Annotated[
        list[str] | None,
        option(
            "--ext",
            "Suffixes of the slides to take from folders: svs,ome.tif; may be repeated. Default: all.",
            INPUT,
        ),
    ] = None
    allow_private: Annotated[
        bool,
        option(
            "--allow-private",
            "Follow redirects of web servers to this machine or a private network. Default: off.",
            JOB,
        ),
    ] = False
    dry_run: Annotated[
        bool, option("--dry-run", "Only open the slides and count tiles; write nothing. Default: off.", JOB)
    ] = False
