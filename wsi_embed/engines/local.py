"""Run a job's slides one after the other in this process, with reader threads."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from wsi_embed.errors import Stopped
from wsi_embed.inputs import SlideInput
from wsi_embed.job import Job, PreparedSlide
from wsi_embed.report import Listener, SlideResult
from wsi_embed.work import finish_slide, prepare_slide, settle_slide

# How often a slide is asked for that another process is writing, seconds.
ASK_SECONDS = 1.0
# So many slides are looked at between two looks at `stop`.
SETTLED_AT_ONCE = 64


def run_local(job: Job, listener: Listener, stop: threading.Event) -> list[SlideResult]:
    """Run all slides; the next one's tissue is found while this one is worked on.

    Slides that are complete already come first. One that another process is writing comes last, when that
    process is done with it or gone.

    Args:
        job: What to do.
        listener: Hears of every step.
        stop: Set it to stop: the slide in hand is dropped.

    Returns:
        One result a slide, in the order of `job.slides`; those not reached have status `stopped`.
    """
    results: dict[str, SlideResult] = {}
    failed, why = 0, "the job was stopped before"
    listener.job_started(len(job.slides), job.headline)
    with (
        ThreadPoolExecutor(job.workers, "wsi-embed-read") as readers,
        contextlib.closing(_run(job, readers, listener, stop)) as finished,
        contextlib.suppress(Stopped),
    ):
        for result in finished:
            results[result.slide_id] = result
            listener.slide_finished(result)
            failed += result.status == "failed"
            if job.gives_up(failed):
                why = "too many slides had failed before"
                break
    return [results.get(item.slide_id) or _not_reached(item, why) for item in job.slides]


def _run(
    job: Job, readers: ThreadPoolExecutor, listener: Listener, stop: threading.Event
) -> Generator[SlideResult]:
    """Results as they come; ends early where `stop` is set."""
    settled = set()
    for result in _settle(job, readers, stop):
        settled.add(result.slide_id)
        yield result
    items = [item for item in job.slides if item.slide_id not in settled]
    with contextlib.closing(_prepare(job, items, listener, stop)) as prepared_slides:
        for prepared in prepared_slides:
            if prepared.plan is not None:
                listener.slide_started(prepared.item.slide_id, prepared.result.tiles)
            yield finish_slide(job, prepared, readers, stop, listener.tiles_done)


def _settle(job: Job, readers: ThreadPoolExecutor, stop: threading.Event) -> Iterator[SlideResult]:
    """Results of slides that need no work, found with all threads at once."""
    for first in range(0, len(job.slides), SETTLED_AT_ONCE):
        if stop.is_set():
            return
        some = job.slides[first : first + SETTLED_AT_ONCE]
        yield from filter(None, readers.map(lambda item: settle_slide(job, item), some))


def _prepare(
    job: Job, items: Sequence[SlideInput], listener: Listener, stop: threading.Event
) -> Generator[PreparedSlide]:
    """Slides ready to be worked on, one ahead of whoever asks; busy ones go to the end of the queue."""
    todo, passed = deque(items), 0
    with ThreadPoolExecutor(1, "wsi-embed-prepare") as ahead:

        def begin() -> Future[PreparedSlide] | None:
            return ahead.submit(prepare_slide, job, todo.popleft()) if todo else None

        coming = begin()
        try:
            while coming is not None:
                prepared = coming.result()
                coming = None
                if stop.is_set():
                    prepared.close()
                    return
                if prepared.busy:
                    todo.append(prepared.item)
                    passed += 1
                    if passed >= len(todo):  # all that is left
                        if passed == len(todo):
                            listener.waiting(len(todo))
                        stop.wait(ASK_SECONDS)
                    coming = begin()
                    continue
                passed, coming = 0, begin()
                yield prepared
        finally:
            if coming is not None and not coming.cancel():
                coming.result().close()


def _not_reached(item: SlideInput, why: str) -> SlideResult:
    return SlideResult(item.slide_id, item.name, "stopped", reason=why)
