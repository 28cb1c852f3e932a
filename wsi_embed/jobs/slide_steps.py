"""One slide of a job, from its file to its commit: prepare, then finish."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from wsi_embed.errors import NoRegionsError, SlideError, Stopped
from wsi_embed.grid import TileGrid
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.jobs.failures import record_failure
from wsi_embed.jobs.job import Job, PreparedSlide
from wsi_embed.jobs.report import SlideResult
from wsi_embed.regions import slide_regions
from wsi_embed.slide.fingerprint import fingerprint
from wsi_embed.tiling.plan import SlidePlan, origin, plan_slide
from wsi_embed.tiling.settings import decisive, differences
from wsi_embed.tissue import TissueMask
from wsi_embed.util.digest import canonical_digest
from wsi_embed.util.memory import give_back


def settle_slide(job: Job, item: SlideInput) -> SlideResult | None:
    """The result of a slide that is complete already; None where it may need work.

    Cheap: the slide is opened only where its content alone does not answer.
    """
    prepared, told = PreparedSlide(item, SlideResult(item.slide_id, item.name)), True
    with _recording(job, prepared):
        committed = job.committed(item.slide_id)
        if committed is None:
            return None
        if is_as_committed(job, item, committed):
            prepared.result.mpp = round(committed["mpp"], 6)
            _skip(job, prepared, committed)
        elif item.remote is None:
            _compare(job, prepared, committed)
        else:
            told = False  # it is to be fetched
    settled = told and prepared.plan is None
    prepared.close()
    return prepared.result if settled else None


def is_as_committed(job: Job, item: SlideInput, committed: dict[str, Any]) -> bool:
    """Whether a slide's content and the settings are those of a complete slide, without opening it.

    The same versions read the same numbers from the same bytes, so those that were recorded are taken.
    Opening a slide costs ten times as much. False says nothing: where the user states a resolution,
    regions or another reader, or where there is something to warn about, only the open slide tells. Of a
    slide elsewhere its objects are compared: they need not be fetched.
    """
    if item.remote is not None:
        return bool(committed.get("origin") == origin(item, job.tiling, job.settings))
    tiling, settings = job.tiling, committed.get("settings")
    if not isinstance(settings, dict) or committed.get("versions") != job.versions:
        return False
    if tiling.fast_downsample or committed.get("reader_asked") != tiling.reader:
        return False
    if {item.mpp, tiling.mpp_override, item.roi, tiling.regions.source} != {None}:
        return False
    if committed.get("mpp_source") in ("objective power", "manifest", "--mpp-override", None):
        return False
    icc: Any = settings.get("icc") if tiling.icc else False
    if tiling.icc and not (isinstance(icc, dict) and icc["profile"]):
        return False
    try:
        content = fingerprint(item.path)
    except OSError:
        return False
    mpp, reader, levels = settings.get("slide_mpp", 0.0), settings.get("reader"), settings.get("levels")
    now = decisive(tiling, job.settings, content, mpp, None, icc, "area", reader, levels)
    return canonical_digest(now) == committed.get("settings_fingerprint")


def prepare_slide(job: Job, item: SlideInput) -> PreparedSlide:
    """Decide whether a slide needs work, and lay its grid. Never raises for a bad slide."""
    prepared = PreparedSlide(item, SlideResult(item.slide_id, item.name))
    if not job.dry_run and not prepared.held.enter_context(job.lock(item.slide_id)):
        prepared.busy = True
        return prepared
    with _recording(job, prepared):
        if item.remote is not None:
            assert job.staging is not None, "slides elsewhere are staged"
            if item.remote.roi is None:
                slide_regions(item, job.tiling.regions)  # where it has none, nothing need be fetched
            item = prepared.item = prepared.held.enter_context(job.staging.stage(item))
        plan = _compare(job, prepared, job.committed(item.slide_id))
        if plan is None:
            return prepared
        result, began = prepared.result, time.perf_counter()
        prepared.grid, prepared.mask = job.lay_grid(plan)
        give_back()  # the views that the mask was found on
        prepared.seconds.tissue = time.perf_counter() - began
        result.tiles, result.tissue = len(prepared.grid), round(prepared.mask.fraction, 4)
        result.warnings += _tissue_warnings(plan, prepared.grid, prepared.mask, job.tiling.min_tissue)
        if job.dry_run:
            result.status = "planned"
            prepared.close()
    return prepared


@contextlib.contextmanager
def _recording(job: Job, prepared: PreparedSlide) -> Iterator[None]:
    """Turn what goes wrong into the slide's result."""
    try:
        yield
    except Exception as error:
        prepared.close()
        record_failure(prepared.result, error, job.names(prepared.item))
        if isinstance(error, NoRegionsError) and job.tiling.regions.missing == "skip":
            prepared.result.status = "skipped"


def _compare(job: Job, prepared: PreparedSlide, committed: dict[str, Any] | None) -> SlidePlan | None:
    """Open a slide and plan it; None where it is complete with these settings.

    Args:
        job: The job.
        prepared: The slide.
        committed: Attributes of the slide where it is complete.

    Raises:
        SlideError: It cannot be read, or is complete with other settings.
    """
    prepared.plan = plan = plan_slide(prepared.item, job.tiling, job.settings)
    prepared.result.mpp = round(plan.resolution.mpp, 6)
    prepared.result.warnings += plan.warnings
    prepared.result.left_out = list(plan.slide.left_out)
    if committed is not None and _is_current(job, plan, committed):
        _skip(job, prepared, committed)
    return prepared.plan


def _tissue_warnings(plan: SlidePlan, grid: TileGrid, mask: TissueMask, min_tissue: float) -> list[str]:
    name = plan.item.name
    warnings = [f"{name}: {mask.note}"] if mask.note else []
    if not len(grid):
        warnings.append(f"{name}: there are no tiles, {plan.why_empty(mask, min_tissue)}")
    return warnings


def _is_current(job: Job, plan: SlidePlan, committed: dict[str, Any]) -> bool:
    """Whether a complete slide has these settings; False where it is to be replaced.

    Raises:
        SlideError: It has others, and `overwrite` is off.
    """
    if committed.get("settings_fingerprint") == plan.fingerprint:
        return True
    if job.overwrite:
        return False
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
        prepared.all_asked.set()
        return result
    began, seconds = time.perf_counter(), prepared.seconds
    try:
        committed = job.committed(plan.item.slide_id)
        if committed is not None and _is_current(job, plan, committed):
            _skip(job, prepared, committed)  # by another process, where there are no locks
            return result
        job.write(prepared, readers, stop, on_tiles)
        result.status = "done"
    except Stopped:
        raise
    except Exception as error:
        record_failure(result, error, job.names(plan.item))
    finally:
        prepared.all_asked.set()
        prepared.close()
    total = time.perf_counter() - began + seconds.tissue
    result.seconds = {k: round(v, 4) for k, v in {**seconds.__dict__, "total": total}.items()}
    return result
