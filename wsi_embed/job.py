"""Many slides into one store. The unit of work is a slide: independent and idempotent."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from wsi_embed.encoder import Encoder
from wsi_embed.errors import ModelError, SlideError, Stopped, WsiEmbedError
from wsi_embed.grid import TileGrid
from wsi_embed.inputs import SlideInput
from wsi_embed.pipeline import Seconds, stream_slide
from wsi_embed.plan import SlidePlan, Tiling, differences, plan_slide
from wsi_embed.report import SlideResult
from wsi_embed.store import StoreSettings, StoreWriter
from wsi_embed.store.lock import slide_lock
from wsi_embed.tissue import TissueMask


@dataclass(frozen=True)
class Job:
    """Everything an engine needs to run slides.

    Attributes:
        slides: What to do.
        encoder: The loaded model.
        store: The open store; None for a dry run where there is none yet.
        settings: What all slides of the store share.
        tiling: How slides are tiled.
        batch_size: Tiles a batch.
        workers: Reader threads.
        overwrite: Redo slides that are in the store with other settings.
        dry_run: Only say what would be done.
        versions: Recorded with every slide.
    """

    slides: list[SlideInput]
    encoder: Encoder
    store: StoreWriter | None
    settings: StoreSettings
    tiling: Tiling
    batch_size: int
    workers: int
    overwrite: bool
    dry_run: bool = False
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def how(self) -> str:
        """Model, device, reader threads and batch size, for people."""
        readers = f"{self.workers} reader thread{'s' * (self.workers != 1)}"
        name, device = self.encoder.metadata.name, self.encoder.device
        text = f"{name} on {device}, {readers}, batches of {self.batch_size}"
        trained, mpp = self.encoder.metadata.mpp, self.settings.mpp
        if trained is not None and abs(trained - mpp) > 0.01 * trained:
            text += f"; tiles at {mpp:g} um per pixel, but the model was trained at {trained:g}"
        return text


@dataclass
class PreparedSlide:
    """A slide whose grid is laid, or which needs no work.

    Attributes:
        result: Filled in so far; its status is final where `plan` is None.
        plan: Holds the open slide.
        grid: The tiles.
        mask: The tissue.
        tissue_seconds: Time spent on the tissue mask.
    """

    result: SlideResult
    plan: SlidePlan | None = None
    grid: TileGrid | None = None
    mask: TissueMask | None = None
    tissue_seconds: float = 0.0

    def close(self) -> None:
        """Close the slide."""
        if self.plan is not None:
            self.plan.slide.close()


def prepare_slide(job: Job, item: SlideInput) -> PreparedSlide:
    """Decide whether a slide needs work, and lay its grid. Never raises for a bad slide."""
    prepared = PreparedSlide(SlideResult(item.slide_id, item.name))
    result = prepared.result
    try:
        prepared.plan = plan = plan_slide(item, job.tiling, job.settings)
        if plan.resolution.warning:
            result.warnings.append(plan.resolution.warning)
        if _is_committed(job, plan):
            result.status, result.reason = "skipped", "complete already"
            prepared.close()
            prepared.plan = None
            return prepared
        began = time.perf_counter()
        prepared.grid, prepared.mask = plan.make_grid(job.tiling)
        prepared.tissue_seconds = time.perf_counter() - began
        result.tiles = len(prepared.grid)
        if not len(prepared.grid):
            result.warnings.append(f"{item.name}: no tissue found, the bag is empty")
        if job.dry_run:
            result.status = "planned"
            prepared.close()
            prepared.plan = None
    except Exception as error:
        prepared.close()
        prepared.plan = None
        fail(result, error)
    return prepared


def _is_committed(job: Job, plan: SlidePlan) -> bool:
    """Whether the store has this slide with these settings.

    Raises:
        SlideError: It has it with other settings, and `overwrite` is off.
    """
    committed = job.store.committed(plan.item.slide_id) if job.store else None
    if committed is None:
        return False
    if committed.get("settings_fingerprint") == plan.fingerprint:
        return True
    if job.overwrite:
        return False
    what = differences(committed.get("settings", {}), plan.settings)
    raise SlideError(
        f"{plan.item.name}: the store has it with other settings ({what}); "
        "use --overwrite to replace it, or another --out"
    )


def encode_slide(
    job: Job,
    prepared: PreparedSlide,
    readers: ThreadPoolExecutor,
    stop: threading.Event,
    on_tiles: Callable[[int], None],
) -> SlideResult:
    """Encode a prepared slide and commit it. Never raises for a bad slide.

    Raises:
        Stopped: `stop` was set; the slide is dropped.
    """
    result, plan, grid = prepared.result, prepared.plan, prepared.grid
    if plan is None or grid is None or job.store is None:
        return result
    began, seconds = time.perf_counter(), Seconds(tissue=prepared.tissue_seconds)
    try:
        with slide_lock(job.store.path, plan.item.slide_id):
            if _is_committed(job, plan):  # by another process, since the slide was prepared
                result.status, result.reason, result.tiles = "skipped", "complete already", 0
                return result
            _write_slide(job, job.store, prepared, readers, stop, on_tiles, seconds)
        result.status = "done"
    except Stopped:
        raise
    except Exception as error:
        fail(result, error)
    finally:
        prepared.close()
    total = time.perf_counter() - began + seconds.tissue
    result.seconds = {k: round(v, 4) for k, v in {**seconds.__dict__, "total": total}.items()}
    return result


def _write_slide(
    job: Job,
    store: StoreWriter,
    prepared: PreparedSlide,
    readers: ThreadPoolExecutor,
    stop: threading.Event,
    on_tiles: Callable[[int], None],
    seconds: Seconds,
) -> None:
    plan, grid = prepared.plan, prepared.grid
    assert plan is not None
    assert grid is not None
    with store.slide(plan.item.slide_id, grid, prepared.mask) as writer:
        if len(grid):
            stream_slide(
                plan.slide,
                grid,
                job.encoder,
                writer,
                batch_size=job.batch_size,
                readers=readers,
                in_flight=job.workers + 2,
                seconds=seconds,
                stop=stop,
                on_tiles=on_tiles,
            )
        began = time.perf_counter()
        writer.commit(plan.attributes(grid, job.tiling, job.versions))
        seconds.write += time.perf_counter() - began


def fail(result: SlideResult, error: Exception) -> None:
    """Record a failure; an error that is not ours is a bug and keeps its traceback."""
    result.status, result.tiles = "failed", 0
    if isinstance(error, WsiEmbedError):
        result.reason = str(error)
    else:
        result.reason = f"{result.slide}: unexpected {type(error).__name__}: {error}"
        result.traceback = "".join(traceback.format_exception(error))


def store_settings(encoder: Encoder, dtype: str) -> StoreSettings:
    """What a store of this encoder's features fixes.

    Raises:
        ModelError: Neither the model nor the user says a resolution.
    """
    m = encoder.metadata
    if encoder.mpp is None:
        raise ModelError(
            f"{encoder.path.name} does not say at which resolution it was trained; give --mpp (um per pixel)"
        )
    return StoreSettings(m.model_id, m.tile_px, encoder.mpp, dtype, m.feature_dim, m.clusters)
