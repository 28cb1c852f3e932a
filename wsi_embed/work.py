"""One slide of a job, from its file to its commit: prepare, then finish."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from wsi_embed.errors import NoRegionsError, SlideError, Stopped
from wsi_embed.failure import record_failure
from wsi_embed.grid import TileGrid
from wsi_embed.inputs import SlideInput
from wsi_embed.job import Job, PreparedSlide
from wsi_embed.plan import SlidePlan, differences, plan_slide
from wsi_embed.report import SlideResult
from wsi_embed.tissue import TissueMask


def prepare_slide(job: Job, item: SlideInput) -> PreparedSlide:
    """Decide whether a slide needs work, and lay its grid. Never raises for a bad slide."""
    prepared = PreparedSlide(SlideResult(item.slide_id, item.name))
    result = prepared.result
    try:
        prepared.plan = plan = plan_slide(item, job.tiling, job.settings)
        result.mpp = round(plan.resolution.mpp, 6)
        result.warnings += plan.warnings
        if committed := _committed(job, plan):
            _skip(job, prepared, committed)
            return prepared
        began = time.perf_counter()
        prepared.grid, prepared.mask = job.lay_grid(plan)
        prepared.seconds.tissue = time.perf_counter() - began
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
        warnings.append(f"{item.name}: no tissue found, there are no tiles")
    return warnings


def _committed(job: Job, plan: SlidePlan) -> dict[str, Any] | None:
    """Attributes of the slide where it is complete with these settings.

    Raises:
        SlideError: It is complete with other settings, and `overwrite` is off.
    """
    committed = job.committed(plan.item.slide_id)
    if committed is None or committed.get("settings_fingerprint") == plan.fingerprint:
        return committed
    if job.overwrite:
        return None
    what = differences(committed.get("settings", {}), plan.settings)
    raise SlideError(
        f"{plan.item.name}: {job.kept_in} has it with other settings ({what}); "
        "use --overwrite to replace it, or another --out"
    )


def _skip(job: Job, prepared: PreparedSlide, committed: dict[str, Any]) -> None:
    """There is nothing to do: say what there is."""
    prepared.result.status, prepared.result.reason = "skipped", "complete already"
    job.recall(prepared.result, committed)
    prepared.close()


def finish_slide(
    job: Job,
    prepared: PreparedSlide,
    readers: ThreadPoolExecutor,
    stop: threading.Event,
    on_tiles: Callable[[int], None],
) -> SlideResult:
    """Do a prepared slide's work and commit it. Never raises for a bad slide.

    Raises:
        Stopped: `stop` was set; the slide is dropped.
    """
    result, plan = prepared.result, prepared.plan
    if plan is None:
        return result
    began, seconds = time.perf_counter(), prepared.seconds
    try:
        with job.lock(plan.item.slide_id):
            if committed := _committed(job, plan):  # by another process, since the slide was prepared
                _skip(job, prepared, committed)
                return result
            job.write(prepared, readers, stop, on_tiles)
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
