"""The function `embed`, which writes features and clusters into a store."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wsi_embed.encoder import Encoder, EncoderPool
from wsi_embed.features.job import FeatureJob, store_settings
from wsi_embed.features.options import EncodingOptions
from wsi_embed.features.pipeline import BadTile
from wsi_embed.grid import Edge
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.jobs.arguments import check_overlap, find_job_slides, make_tiling
from wsi_embed.jobs.engines import Engine, open_engine
from wsi_embed.jobs.listener import Listener
from wsi_embed.jobs.options import JobOptions
from wsi_embed.jobs.report import JobReport
from wsi_embed.jobs.runner import run_job
from wsi_embed.regions.roi_rules import Missing
from wsi_embed.slide import Reader
from wsi_embed.storage import Location, location
from wsi_embed.storage.open_folder import place_at
from wsi_embed.store import StoreWriter
from wsi_embed.store.layout import is_group
from wsi_embed.tiling.settings import Tiling
from wsi_embed.tissue import TissueRecipe


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
    device: str = "auto",
    batch_size: int | None = None,
    workers: int | None = None,
    dtype: str = "float16",
    overwrite: bool = False,
    on_bad_tile: BadTile = "fail",
    quality: bool = True,
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
    """Tile slides, encode the tiles, and write features and clusters into a Zarr store.

    Slides that the store already contains with the same settings are skipped. A slide that fails is recorded
    in the report and does not stop the others.

    Args:
        slides: Files, folders (at any depth) or manifests (CSV, Parquet); also at `s3://`, `gs://` and
            `http(s)://` (extra `cloud`).
        out: Store; created, or added to. Also at `s3://` and `gs://`.
        model: Path of an exported model, `default-int8`, or a loaded encoder; None is the demonstration
            model.
        mpp: Micrometres per pixel of a tile; the model's by default.
        tile_px: Side of a tile, pixels; the model's by default.
        overlap: Overlap of neighbouring tiles, target pixels.
        edge: Whether to `drop` or `pad` tiles that extend beyond the slide.
        tissue: `otsu`, `otsu-local`, `hsv`, `none`, `model:FILE`, or a recipe.
        tissue_set: Parameters of the tissue recipe, as `key=value` texts or a mapping (see `TissueRecipe`).
        min_tissue: Smallest share of tissue in a tile, 0 to 1.
        mpp_default: Micrometres per level-0 pixel of slides whose metadata do not say it.
        mpp_override: Micrometres per level-0 pixel of every slide, instead of the slide's metadata.
        force: Whether a resolution given here or in a manifest may differ from the metadata by more than a
            factor of two.
        roi: Annotations (GeoJSON, ASAP XML): a file for a single slide, or a folder with one file per slide.
        roi_include: Classes of regions to take; by default all that are not excluded.
        roi_exclude: Classes of regions to leave out.
        roi_missing: Handling of a slide without annotations: `fail`, `skip`, or take the `whole` slide.
        icc: Whether to convert pixels to sRGB with the slide's embedded ICC profile, before anything else.
        reader: `auto`, `openslide`, `tiff`, `dicom`, `zarr` or `fastslide`; see `open_slide`.
        fast_downsample: Whether the JPEG decoder does part of the resampling, if the reader supports it:
            faster, with slightly different pixels (docs/formats.md).
        min_focus: Smallest `focus` of a tile; blurred tiles are left out (docs/quality.md). With any of the
            three limits every tile is read twice.
        max_pen: Largest share of a tile that has the colour of marker ink, 0 to 1.
        max_dark: Largest `dark` of a tile, optical density: leaves out folds.
        device: Device, as for `load_encoder`, or several GPUs: `cuda:0,1`, `cuda:all`. With Ray only the
            kind.
        batch_size: Number of tiles per batch; by default 16 on a CPU, and chosen by measurement on a GPU.
        workers: Number of reader threads, with Ray per actor; one per core by default.
        dtype: Data type of the features in the store, `float16` or `float32`.
        overwrite: Whether to redo slides that the store contains with other settings.
        on_bad_tile: Handling of a tile that cannot be read: `fail` the slide, or take the tile as `white` and
            record its row.
        quality: Whether to measure the quality of every tile and store it as arrays (docs/quality.md).
        shard: `i/n`: take the i-th of n shards, counted from 0; `auto`: take the shard of the scheduler's
            task (Slurm array, Kubernetes indexed job, AWS Batch array).
        max_failures: Number of failed slides after which the job stops; unlimited by default.
        limit: Number of slides to take, from the first; all by default.
        cache: Folder for remote slides while they are processed; the system's temporary folder by default.
        cache_gb: Size limit of the cache in GB; half of the free disk space by default.
        dry_run: Whether only to open the slides and count tiles, without writing anything.
        engine: `local` (this process) or `ray` (actors of a Ray cluster, each with its own model).
        address: Address of the Ray cluster: `HOST:PORT`, `auto`, or `local` for a cluster on this machine; by
            default RAY_ADDRESS, else `local`.
        actors: Number of Ray actors; by default as many as fit into the cluster. Each uses `workers` cores
            (by default at most four), and a GPU if the device is one.
        ext: Suffixes of the slides to take from folders, such as `svs` or `("svs", "ome.tif")`; by default
            all formats. Files and manifests that are given themselves are taken in any case.
        allow_private: Whether redirects of web servers may lead to this machine or a private network.
        listener: Listener for the job's progress.
        stop: Event that stops the job early when set.

    Returns:
        Report with status, number of tiles, seconds and error of every slide.

    Raises:
        UsageError: If arguments are invalid; nothing was done.
        DeviceError: If the device cannot be used.
        StoreError: If the store cannot be created.
        RemoteError: If object storage cannot be reached, or refuses.

    Example:
        >>> import wsi_embed
        >>> report = wsi_embed.embed("slides/", "features.zarr", model="model.onnx", device="cpu")
        >>> report.exit_code
        0
    """
    began = time.perf_counter()
    encoding = EncodingOptions(
        model=model,
        mpp=mpp,
        tile_px=tile_px,
        device=device,
        batch_size=batch_size,
        dtype=dtype,
        on_bad_tile=on_bad_tile,
        quality=quality,
    )
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
    where = location(out)
    items = find_job_slides(slides, where, tiling.regions, options)
    encoding.check_loaded_encoder(options.engine)
    with open_engine(options, device) as runner, encoding.open(runner) as encoders:
        job = _make_job(items, where, encoding, tiling, options, runner, encoders)
        return run_job(runner, job, encoding.describe(encoders), began, listener, stop)


def _make_job(
    items: list[SlideInput],
    out: Location,
    encoding: EncodingOptions,
    tiling: Tiling,
    options: JobOptions,
    runner: Engine,
    encoders: EncoderPool,
) -> FeatureJob:
    """Return the job, with its store open. A dry run reads an existing store, but does not create one."""
    encoder = encoders.first
    settings = store_settings(encoder, encoding.dtype)
    check_overlap(tiling.overlap, settings.tile_px)
    opens = not options.dry_run or is_group(place_at(out))
    return FeatureJob(
        slides=items,
        out=out,
        settings=settings,
        tiling=tiling,
        workers=runner.workers,
        options=options,
        encoders=encoders,
        store=StoreWriter(out, settings, encoder.metadata) if opens else None,
        batch_size=encoding.batch_size or runner.batch_size(encoder),
        on_bad_tile=encoding.on_bad_tile,
        quality=encoding.quality,
    )
