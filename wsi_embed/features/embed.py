"""`embed`: a job that writes features and clusters into a store."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from wsi_embed.encoder import Encoder, EncoderPool, is_demonstration
from wsi_embed.errors import UsageError
from wsi_embed.features.job import FeatureJob, store_settings
from wsi_embed.features.pipeline import BadTile
from wsi_embed.grid import Edge
from wsi_embed.jobs.arguments import check_overlap, find_job_slides, tiling_of
from wsi_embed.jobs.engines import open_engine
from wsi_embed.jobs.listener import Listener
from wsi_embed.jobs.options import JobOptions, check_counts
from wsi_embed.jobs.report import JobReport
from wsi_embed.jobs.runner import run_job
from wsi_embed.regions import RegionRules
from wsi_embed.regions.roi_rules import Missing
from wsi_embed.slide import Reader
from wsi_embed.slide.resolution import check_mpp
from wsi_embed.storage import Location, location
from wsi_embed.storage.folder import METADATA_FILE
from wsi_embed.storage.open_folder import place_at
from wsi_embed.store import StoreWriter
from wsi_embed.tissue import TissueRecipe

DTYPES = ("float16", "float32")


def embed(
    slides: str | Location | Sequence[str | Location],
    out: str | Location,
    *,
    model: str | Path | Encoder | None = None,
    mpp: float | None = None,
    tile_px: int | None = None,
    overlap: int = 0,
    edge: Edge = "drop",
    tissue: str | TissueRecipe = "otsu",
    tissue_set: Sequence[str] | Mapping[str, Any] = (),
    min_tissue: float = 0.25,
    mpp_override: float | None = None,
    roi: str | Path | None = None,
    roi_include: Sequence[str] = (),
    roi_exclude: Sequence[str] = (),
    roi_missing: Missing = "fail",
    icc: bool = False,
    reader: Reader = "auto",
    fast_downsample: bool = False,
    device: str = "auto",
    batch_size: int | None = None,
    workers: int | None = None,
    dtype: str = "float16",
    overwrite: bool = False,
    on_bad_tile: BadTile = "fail",
    shard: str | None = None,
    max_failures: int | None = None,
    limit: int | None = None,
    cache: str | Path | None = None,
    cache_gb: float | None = None,
    dry_run: bool = False,
    engine: str = "local",
    address: str | None = None,
    actors: int | None = None,
    listener: Listener | None = None,
    stop: threading.Event | None = None,
) -> JobReport:
    """Tile slides, encode the tiles, and write features and clusters into a Zarr store.

    Slides that the store has with the same settings are skipped; a slide that fails is recorded in
    the report and does not stop the others.

    Args:
        slides: Files, folders (at any depth) or manifests (CSV, Parquet); also at `s3://`, `gs://` and
            `http(s)://` (extra `cloud`).
        out: The store; made, or added to. Also at `s3://` and `gs://`.
        model: An exported model, `default-int8`, or a loaded encoder; None takes the demonstration model.
        mpp: Micrometres per pixel of a tile; by default the model's.
        tile_px: Side of a tile, pixels; by default the model's.
        overlap: Of neighbouring tiles, target pixels.
        edge: `drop` or `pad` tiles that stick out of the slide.
        tissue: `otsu`, `otsu-local`, `hsv`, `none`, `model:FILE`, or a recipe.
        tissue_set: Numbers of the tissue recipe, `key=value` each or a mapping (see `TissueRecipe`).
        min_tissue: Least share of tissue of a tile, 0 to 1.
        mpp_override: Micrometres per level-0 pixel of every slide, whatever its metadata say.
        roi: Annotations (GeoJSON, ASAP XML): a file for the one slide, or a folder with one a slide.
        roi_include: Classes of regions to take; none takes every region that is not excluded.
        roi_exclude: Classes of regions to leave out.
        roi_missing: `fail`, `skip` or take `whole` a slide without annotations.
        icc: Convert pixels to sRGB by the slide's embedded ICC profile, before anything else.
        reader: `auto`, `openslide` or `tiff`; see `open_slide`.
        fast_downsample: Let the JPEG decoder do a part of the resampling where the TIFF reader can: faster,
            and other pixels (docs/formats.md).
        device: As for `load_encoder`, or several GPUs: `cuda:0,1`, `cuda:all`; with Ray a kind alone.
        batch_size: Tiles a batch; by default 16 on the CPU, and what a trial finds best on a GPU.
        workers: Reader threads; by default one a core. Of each actor, with Ray.
        dtype: Of the features in the store, `float16` or `float32`.
        overwrite: Redo slides that the store has with other settings.
        on_bad_tile: What to do with a tile that cannot be read: `fail` the slide, or take it as `white`
            and record its row.
        shard: `i/n`: take the i-th of n shares, counted from 0; `auto` asks the scheduler (Slurm array,
            Kubernetes indexed job, AWS Batch array).
        max_failures: Stop once more slides than this have failed; by default never.
        limit: Take only the first so many slides.
        cache: Folder for slides that are fetched from elsewhere, removed when they are done; by default the
            system's temporary folder.
        cache_gb: Most GB there at a time; by default half of what is free.
        dry_run: Open the slides and count tiles; write nothing.
        engine: `local`, this process; `ray`, actors of a Ray cluster, each with a model of its own.
        address: Of the Ray cluster: `HOST:PORT`, `auto`, or `local` for one of this machine alone; by default
            RAY_ADDRESS, else `local`.
        actors: Ray actors to ask for; by default as many as the cluster has room for. Each has `workers`
            cores (by default at most four), and a GPU if the device is one.
        listener: Hears of every step.
        stop: Set it to stop early.

    Returns:
        The report: every slide with status, tiles, seconds and reason.

    Raises:
        UsageError: Wrong arguments; nothing was done.
        DeviceError: If the device cannot be used.
        StoreError: If the store cannot be made.
        RemoteError: If object storage cannot be reached, or refuses.
    """
    began = time.perf_counter()
    if on_bad_tile not in get_args(BadTile):
        raise UsageError(f"--on-bad-tile {on_bad_tile}: choose {' or '.join(get_args(BadTile))}")
    if dtype not in DTYPES:
        raise UsageError(f"--dtype {dtype}: choose {' or '.join(DTYPES)}")
    check_counts(batch_size=batch_size)
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
    )
    check_mpp("--mpp", mpp)
    regions = RegionRules(Path(roi) if roi else None, tuple(roi_include), tuple(roi_exclude), roi_missing)
    tiling = tiling_of(
        overlap, edge, tissue, tissue_set, min_tissue, mpp_override, regions, icc, reader, fast_downsample
    )
    where = location(out)
    items = find_job_slides(slides, where, regions, options)
    if isinstance(model, Encoder) and not (mpp is None and tile_px is None and device == "auto"):
        raise UsageError("a loaded encoder has its mpp, tile_px and device: give them to load_encoder")
    if isinstance(model, Encoder) and engine != "local":
        raise UsageError("a loaded encoder cannot be sent to Ray's actors: give the path of its file")
    with (
        open_engine(options, device) as runner,
        EncoderPool(model)
        if isinstance(model, Encoder)
        else runner.load_pool(model, tile_px, mpp) as encoders,
    ):
        encoder = encoders.first
        settings = store_settings(encoder, dtype)
        check_overlap(overlap, settings.tile_px)
        # a dry run looks at a store and makes none
        known = place_at(where).state(METADATA_FILE) is not None
        job = FeatureJob(
            slides=items,
            out=where,
            settings=settings,
            tiling=tiling,
            workers=runner.workers,
            options=options,
            encoders=encoders,
            store=StoreWriter(where, settings, encoder.metadata) if known or not dry_run else None,
            batch_size=batch_size or runner.batch_size(encoder),
            on_bad_tile=on_bad_tile,
        )
        about = {
            "name": encoder.metadata.name,
            "model_id": encoder.model_id,
            "device": encoders.where,
            "demonstration": is_demonstration(model),
        }
        return run_job(runner, job, about, began, listener, stop)
