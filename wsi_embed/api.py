"""The job as one function."""

from __future__ import annotations

import datetime
import importlib.metadata
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from wsi_embed.encoder import Encoder, load_encoder
from wsi_embed.encoder.base import cpu_count
from wsi_embed.engines.local import run_local
from wsi_embed.errors import UsageError
from wsi_embed.grid import Edge
from wsi_embed.inputs import find_slides
from wsi_embed.job import Job, store_settings
from wsi_embed.outliers import find_outliers
from wsi_embed.pipeline import BadTile
from wsi_embed.plan import Tiling
from wsi_embed.regions import RegionRules, check_rules, with_annotations
from wsi_embed.regions.rules import Missing
from wsi_embed.report import JobReport, Listener, Silent
from wsi_embed.shards import parse_shard
from wsi_embed.shards import shard as take_shard
from wsi_embed.slide.resolution import check_mpp
from wsi_embed.store import StoreWriter
from wsi_embed.store.layout import METADATA_FILE
from wsi_embed.tissue import TissueRecipe, parse_recipe

MOST = 1_000_000
DTYPES = ("float16", "float32")
RECORDED = (
    "numpy",
    "onnxruntime",
    "opencv-python-headless",
    "openslide-bin",
    "openslide-python",
    "pillow",
    "zarr",
)


def embed(
    slides: str | Path | Sequence[str | Path],
    out: str | Path,
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
    device: str = "auto",
    batch_size: int | None = None,
    workers: int | None = None,
    dtype: str = "float16",
    overwrite: bool = False,
    on_bad_tile: BadTile = "fail",
    shard: str | None = None,
    limit: int | None = None,
    dry_run: bool = False,
    listener: Listener | None = None,
    stop: threading.Event | None = None,
) -> JobReport:
    """Tile slides, encode the tiles, and write features and clusters into a Zarr store.

    Slides that the store has with the same settings are skipped; a slide that fails is recorded in
    the report and does not stop the others.

    Args:
        slides: Files, folders (at any depth) or manifests (CSV, Parquet).
        out: The store; made, or added to.
        model: An exported model, or a loaded encoder; None takes the demonstration model.
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
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        batch_size: Tiles a batch; by default 32 on the CPU, 256 on CUDA.
        workers: Reader threads; by default one a core.
        dtype: Of the features in the store, `float16` or `float32`.
        overwrite: Redo slides that the store has with other settings.
        on_bad_tile: What to do with a tile that cannot be read: `fail` the slide, or take it as `white`
            and record its row.
        shard: `i/n`: take the i-th of n shares, counted from 0.
        limit: Take only the first so many slides.
        dry_run: Open the slides and count tiles; write nothing.
        listener: Hears of every step.
        stop: Set it to stop early.

    Returns:
        The report: every slide with status, tiles, seconds and reason.

    Raises:
        UsageError: Wrong arguments; nothing was done.
        DeviceError: The device cannot be used.
        StoreError: The store cannot be made.
    """
    began = time.perf_counter()
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    if on_bad_tile not in get_args(BadTile):
        raise UsageError(f"--on-bad-tile {on_bad_tile}: choose {' or '.join(get_args(BadTile))}")
    _check(dtype, {"batch-size": batch_size, "workers": workers, "limit": limit})
    check_mpp("--mpp", mpp)
    check_mpp("--mpp-override", mpp_override)
    if isinstance(tissue, TissueRecipe) and tissue_set:
        raise UsageError("a tissue recipe has its numbers: give tissue_set with a recipe's name")
    recipe = parse_recipe(tissue, tissue_set) if isinstance(tissue, str) else tissue
    source = None if roi is None else Path(roi)
    rules = RegionRules(source, tuple(roi_include), tuple(roi_exclude), roi_missing)
    tiling = Tiling(overlap, edge, recipe, min_tissue, mpp_override, rules, icc)
    items = with_annotations(find_slides([slides] if isinstance(slides, str | Path) else slides), source)
    check_rules(rules, items)
    if shard is not None:
        items = take_shard(items, *parse_shard(shard))
    items = items[:limit]
    if any(Path(out).resolve() == item.path.resolve() for item in items):
        raise UsageError(f"--out {out} is one of the slides")
    if isinstance(model, Encoder) and not (mpp is None and tile_px is None and device == "auto"):
        raise UsageError("a loaded encoder has its mpp, tile_px and device: give them to load_encoder")
    encoder = (
        model if isinstance(model, Encoder) else load_encoder(model, device=device, tile_px=tile_px, mpp=mpp)
    )
    settings = store_settings(encoder, dtype)
    if not 0 <= overlap < settings.tile_px:
        raise UsageError(f"--overlap {overlap} must be at least 0 and below the tile's {settings.tile_px} px")
    batch_size = batch_size or (32 if encoder.device == "cpu" else 256)
    workers = workers or cpu_count()
    versions = _versions()
    known = (Path(out) / METADATA_FILE).exists()  # a dry run looks at a store and makes none
    store = StoreWriter(Path(out), settings, encoder.metadata) if known or not dry_run else None
    job = Job(
        items,
        encoder,
        store,
        settings,
        tiling,
        batch_size,
        workers,
        overwrite,
        on_bad_tile,
        dry_run,
        versions,
    )
    stop = stop or threading.Event()
    report = _empty_report(job, Path(out), demonstration=model is None)
    report.started = started
    report.slides = run_local(job, listener or Silent(), stop)
    report.outliers = find_outliers(report.slides)
    report.stopped = stop.is_set() and report.count("stopped") > 0
    report.seconds = round(time.perf_counter() - began, 3)
    return report


def _empty_report(job: Job, out: Path, demonstration: bool) -> JobReport:
    """A report that says what is about to be done, and with what."""
    encoder, tiling = job.encoder, job.tiling
    return JobReport(
        store=out.name,
        model={
            "name": encoder.metadata.name,
            "model_id": encoder.model_id,
            "device": encoder.device,
            "demonstration": demonstration,
        },
        settings={
            **job.settings.to_dict(),
            "overlap": tiling.overlap,
            "edge": tiling.edge,
            "tissue": tiling.tissue.to_dict(),
            "min_tissue": tiling.min_tissue,
            "on_bad_tile": job.on_bad_tile,
            "roi": tiling.regions.to_dict(),
            "icc": tiling.icc,
            "batch_size": job.batch_size,
            "workers": job.workers,
        },
        versions=job.versions,
    )


def _check(dtype: str, counts: dict[str, int | None]) -> None:
    if dtype not in DTYPES:
        raise UsageError(f"--dtype {dtype}: choose {' or '.join(DTYPES)}")
    for name, value in counts.items():
        if value is not None and not 1 <= value <= MOST:
            raise UsageError(f"--{name} {value}: 1 to {MOST} is expected")


def _versions() -> dict[str, str]:
    found = {"wsi-embed": _version("wsi-embed")}
    found |= {name: _version(name) for name in RECORDED}
    if found["onnxruntime"] == "none":
        found["onnxruntime"] = _version("onnxruntime-gpu")
    return found


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"
