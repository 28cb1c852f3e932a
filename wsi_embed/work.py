"""One slide of a job, from its file to its commit: prepare, then encode."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from wsi_embed.errors import NoRegionsError, SlideError, Stopped
from wsi_embed.failure import record_failure
from wsi_embed.grid import TileGrid
from wsi_embed.inputs import SlideInput
from wsi_embed.job import Job
from wsi_embed.pipeline import Seconds, stream_slide
from wsi_embed.plan import SlidePlan, differences, plan_slide
from wsi_embed.report import SlideResult
from wsi_embed.store import StoreWriter
from wsi_embed.store.lock import slide_lock
from wsi_embed.tissue import TissueMask

# More tiles than this share cannot be read: it is the slide that is damaged, not a tile.
MOST_BAD = 0.5


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
        """Close the slide: there is no work, or no more."""
        if self.plan is not None:
            self.plan.slide.close()
        self.plan = None


def prepare_slide(job: Job, item: SlideInput) -> PreparedSlide:
    """Decide whether a slide needs work, and lay its grid. Never raises for a bad slide."""
    prepared = PreparedSlide(SlideResult(item.slide_id, item.name))
    result = prepared.result
    try:
        prepared.plan = plan = plan_slide(item, job.tiling, job.settings)
        result.mpp = round(plan.resolution.mpp, 6)
        result.warnings += plan.warnings
        if committed := _committed(job, plan):
            _skip(prepared, committed)
            return prepared
        began = time.perf_counter()
        prepared.grid, prepared.mask = plan.make_grid(job.tiling, job.on_bad_tile == "white")
        prepared.tissue_seconds = time.perf_counter() - began
        result.tiles, result.tissue = len(prepared.grid), round(prepared.mask.fraction, 4)
        result.warnings += _tissue_warnings(item, prepared.grid, prepared.mask)
        if job.dry_run:
            result.status = "planned"
            prepared.close()
    except Exception as error:
        prepared.close()
        record_failure(result, error, job.names(item))
        if isinstance(error, NoRegionsError) and job.tiling.regions.missing == "skip":
            result.status = "skipped"
    return prepared


def _tissue_warnings(item: SlideInput, grid: TileGrid, mask: TissueMask) -> list[str]:
    warnings = [f"{item.name}: {mask.note}"] if mask.note else []
    if not len(grid):
        warnings.append(f"{item.name}: no tissue found, the bag is empty")
    return warnings


def _committed(job: Job, plan: SlidePlan) -> dict[str, Any] | None:
    """Attributes of the slide where the store has it with these settings.

    Raises:
        SlideError: It has it with other settings, and `overwrite` is off.
    """
    committed = job.store.committed(plan.item.slide_id) if job.store else None
    if committed is None or committed.get("settings_fingerprint") == plan.fingerprint:
        return committed
    if job.overwrite:
        return None
    what = differences(committed.get("settings", {}), plan.settings)
    raise SlideError(
        f"{plan.item.name}: the store has it with other settings ({what}); "
        "use --overwrite to replace it, or another --out"
    )


def _skip(prepared: PreparedSlide, committed: dict[str, Any]) -> None:
    """There is nothing to do: say what the store has."""
    result = prepared.result
    result.status, result.reason = "skipped", "complete already"
    result.tiles, result.tissue = committed["n_tiles"], committed.get("tissue_share")
    result.bad_tiles = len(committed.get("bad_tiles", ()))
    if result.bad_tiles:
        result.warnings.append(_bad_tiles(result))
    prepared.close()


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
    result, plan = prepared.result, prepared.plan
    if plan is None or job.store is None:
        return result
    began, seconds = time.perf_counter(), Seconds(tissue=prepared.tissue_seconds)
    try:
        with slide_lock(job.store.path, plan.item.slide_id):
            if committed := _committed(job, plan):  # by another process, since the slide was prepared
                _skip(prepared, committed)
                return result
            _write_slide(job, job.store, prepared, plan, readers, stop, on_tiles, seconds)
        result.status = "done"
    except Stopped:
        raise
    except Exception as error:
        record_failure(result, error, job.names(plan.item))
    finally:
        prepared.close()
    total = time.perf_counter() - began + seconds.tissue
    result.seconds = {k: round(v, 4) for k, v in {**seconds.__dict__, "total": total}.items()}
    return result


def _write_slide(
    job: Job,
    store: StoreWriter,
    prepared: PreparedSlide,
    plan: SlidePlan,
    readers: ThreadPoolExecutor,
    stop: threading.Event,
    on_tiles: Callable[[int], None],
    seconds: Seconds,
) -> None:
    grid, mask, result = prepared.grid, prepared.mask, prepared.result
    assert grid is not None, "a slide with a plan has a grid"
    assert mask is not None
    with store.slide(plan.item.slide_id, grid, mask) as writer:
        try:
            bad = stream_slide(
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
                on_bad_tile=job.on_bad_tile,
            )
        except SlideError:
            plan.check_unchanged()  # the better reason, where it is one
            raise
        _count_bad(result, bad)
        plan.check_unchanged()
        began = time.perf_counter()
        found = {"bad_tiles": bad, "tissue_share": result.tissue}
        writer.commit({**plan.attributes(grid, job.tiling, job.versions), **found})
        seconds.write += time.perf_counter() - began


def _count_bad(result: SlideResult, bad: list[int]) -> None:
    result.bad_tiles = len(bad)
    if len(bad) > MOST_BAD * result.tiles:
        raise SlideError(
            f"{result.slide}: {len(bad)} of {result.tiles} tiles cannot be read; copy the slide again"
        )
    if bad:
        result.warnings.append(_bad_tiles(result))


def _bad_tiles(result: SlideResult) -> str:
    return (
        f"{result.slide}: {result.bad_tiles} of {result.tiles} tiles could not be read and were taken as "
        "white; the group's attribute bad_tiles has their rows"
    )
