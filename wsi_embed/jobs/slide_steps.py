"""Processing steps of one slide: check whether it is complete, prepare, finish."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from wsi_embed.errors import NoRegionsError, SlideError, Stopped
from wsi_embed.grid import TileGrid
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.jobs.failures import path_names, record_failure
from wsi_embed.jobs.job import Job
from wsi_embed.jobs.report import COMPLETE, SlideResult
from wsi_embed.jobs.seconds import Seconds
from wsi_embed.jobs.slide_work import Busy, SlideWork
from wsi_embed.regions import slide_regions
from wsi_embed.tiling.fingerprint import differences, matches_unopened, remote_origin, same_sample
from wsi_embed.tiling.plan import SlidePlan, plan_slide
from wsi_embed.tissue import TissueMask
from wsi_embed.util.memory import give_back


def complete_result(job: Job, item: SlideInput) -> SlideResult | None:
    """Return the result of a slide that needs no work; None if it needs some.

    The slide is opened only if its file state does not decide, and is never fetched.
    """
    result = SlideResult(item.slide_id, item.name)
    try:
        committed = job.committed(item.slide_id)
        if committed is None:
            return None
        if matches_committed(job, item, committed):
            result.mpp = round(committed["mpp"], 6)
            return _skipped(job, result, committed)
        if item.remote is not None:
            return None
        plan = _open(job, item, result)
        with plan.slide:
            return _skipped(job, result, committed) if _is_current(job, plan, committed) else None
    except Exception as error:
        return _failed(job, item, result, error)


def matches_committed(job: Job, item: SlideInput, committed: dict[str, Any]) -> bool:
    """Return whether a complete slide was made with the job's settings, without opening or fetching it.

    False means unknown: the slide must be opened.
    """
    if item.remote is not None:
        return bool(committed.get("origin") == remote_origin(item, job.tiling, job.settings))
    return matches_unopened(item, job.tiling, job.settings, committed, job.versions)


def prepare_slide(job: Job, item: SlideInput, stop: threading.Event) -> SlideWork | SlideResult | Busy:
    """Lock and open a slide and lay out its tiles. Errors of the slide are returned as its result.

    Returns:
        The work to do; or a result, if the slide is complete or failed or the job is a dry run; or `Busy`, if
        another process is writing the slide.

    Raises:
        Stopped: If `stop` is set.
    """
    result = SlideResult(item.slide_id, item.name)
    with ExitStack() as resources:
        if not job.options.dry_run and not resources.enter_context(job.lock(item.slide_id)):
            return Busy(item)
        try:
            resources.enter_context(job.in_work(item))
            item = _fetch(job, item, resources)
            return _prepare(job, item, result, resources, stop)
        except Stopped:
            raise
        except Exception as error:
            return _failed(job, item, result, error)


def finish_slide(
    job: Job,
    work: SlideWork,
    readers: ThreadPoolExecutor,
    stop: threading.Event,
    on_tiles: Callable[[int], None],
) -> SlideResult:
    """Process a prepared slide and commit it. Errors of the slide are returned as its result.

    Raises:
        Stopped: If `stop` is set; the slide is dropped.
    """
    began, result, seconds = time.perf_counter(), work.result, work.seconds
    try:
        committed = job.committed(work.item.slide_id)
        if committed is not None and _is_current(job, work.plan, committed):
            # without locks, another process may have written it meanwhile
            return _skipped(job, result, committed)
        job.write(work, readers, stop, on_tiles)
        result.status = "done"
    except Stopped:
        raise
    except Exception as error:
        record_failure(result, error, path_names(work.item, job.out))
    finally:
        work.all_read.set()
        work.close()
    total = time.perf_counter() - began + seconds.tissue
    result.seconds = {k: round(v, 4) for k, v in {**seconds.__dict__, "total": total}.items()}
    return result


def _fetch(job: Job, item: SlideInput, resources: ExitStack) -> SlideInput:
    """Return the slide with a local path, fetched if it is remote."""
    if item.remote is None:
        return item
    assert job.staging is not None, "remote slides are staged"
    if item.remote.roi is None:
        slide_regions(item, job.tiling.regions)  # raises if there are none, before anything is fetched
    return resources.enter_context(job.staging.stage(item))


def _prepare(
    job: Job, item: SlideInput, result: SlideResult, resources: ExitStack, stop: threading.Event
) -> SlideWork | SlideResult:
    """Open a slide and lay out its tiles; the returned work takes over the resources."""
    plan = _open(job, item, result)
    resources.enter_context(plan.slide)
    committed = job.committed(item.slide_id)
    if committed is not None and _is_current(job, plan, committed):
        return _skipped(job, result, committed)
    began = time.perf_counter()
    grid, mask = job.make_grid(plan)
    give_back()  # memory of the overviews used for tissue detection
    grid = job.choose_tiles(plan, grid, mask, result, stop)
    seconds = Seconds(tissue=time.perf_counter() - began)
    result.tiles, result.tissue, result.near_empty = len(grid), round(mask.fraction, 4), mask.near_empty(grid)
    if job.preview is not None:
        result.previews = job.preview(plan, grid, mask)
    result.warnings += _tissue_warnings(plan, grid, mask, job.tiling.min_tissue, result.poor_tiles)
    if job.options.dry_run:
        result.status = "planned"
        return result
    return SlideWork(item, result, plan, grid, mask, resources.pop_all(), seconds)


def _open(job: Job, item: SlideInput, result: SlideResult) -> SlidePlan:
    """Open a slide and plan it; record in the result what is known then."""
    plan = plan_slide(item, job.tiling, job.settings)
    result.mpp, result.read_level = round(plan.resolution.mpp, 6), plan.read.level
    result.warnings += plan.warnings
    result.left_out = list(plan.slide.left_out)
    result.content = f"{plan.slide.fingerprint}{plan.sample.digest}"
    return plan


def _tissue_warnings(
    plan: SlidePlan, grid: TileGrid, mask: TissueMask, min_tissue: float, poor_tiles: int
) -> list[str]:
    name = plan.item.name
    warnings = [f"{name}: {mask.note}"] if mask.note else []
    if not len(grid) and poor_tiles:
        warnings.append(f"{name}: there are no tiles, all {poor_tiles} are beyond the limits of quality")
    elif not len(grid):
        warnings.append(f"{name}: there are no tiles, {plan.why_empty(mask, min_tissue)}")
    return warnings


def _is_current(job: Job, plan: SlidePlan, committed: dict[str, Any]) -> bool:
    """Return whether a complete slide has these settings; False if it is to be replaced.

    Raises:
        SlideError: If it has other settings, and `overwrite` is off.
    """
    if committed.get("settings_fingerprint") == plan.fingerprint:
        # else the same file was not complete before
        return same_sample(committed, plan.sample)
    if job.options.overwrite:
        return False
    what = differences(committed.get("settings", {}), plan.settings)
    raise SlideError(
        f"already in {job.output} with different settings ({what})",
        where=plan.item.name,
        remedy="use `overwrite=True` to replace it, or another `out=`",
    )


def _skipped(job: Job, result: SlideResult, committed: dict[str, Any]) -> SlideResult:
    result.status, result.reason = "skipped", COMPLETE
    job.describe_complete(result, committed)
    return result


def _failed(job: Job, item: SlideInput, result: SlideResult, error: Exception) -> SlideResult:
    record_failure(result, error, path_names(item, job.out))
    if isinstance(error, NoRegionsError) and job.tiling.regions.missing == "skip":
        result.status, result.reason, result.remedy = "skipped", result.problem, None
    return result
