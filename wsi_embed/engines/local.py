"""Run a job's slides one after the other in this process, with reader threads."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor

from wsi_embed.errors import Stopped
from wsi_embed.inputs import SlideInput
from wsi_embed.job import Job, PreparedSlide
from wsi_embed.report import Listener, SlideResult
from wsi_embed.work import finish_slide, prepare_slide


def run_local(job: Job, listener: Listener, stop: threading.Event) -> list[SlideResult]:
    """Run all slides; the next one's tissue is found while this one is worked on.

    Args:
        job: What to do.
        listener: Hears of every step.
        stop: Set it to stop: the slide in hand is dropped.

    Returns:
        One result a slide, in the order of `job.slides`; those not reached have status `stopped`.
    """
    results: list[SlideResult] = []
    listener.job_started(len(job.slides), job.how)
    with (
        ThreadPoolExecutor(1, "wsi-embed-prepare") as ahead,
        ThreadPoolExecutor(job.workers, "wsi-embed-read") as readers,
    ):
        coming: Future[PreparedSlide] | None = None
        try:
            for index, item in enumerate(job.slides):
                prepared = (coming or ahead.submit(prepare_slide, job, item)).result()
                coming = None
                if stop.is_set():
                    prepared.close()
                    break
                if index + 1 < len(job.slides):
                    coming = ahead.submit(prepare_slide, job, job.slides[index + 1])
                if prepared.plan is not None:
                    listener.slide_started(item.slide_id, prepared.result.tiles)
                results.append(finish_slide(job, prepared, readers, stop, listener.tiles_done))
                listener.slide_finished(results[-1])
        except Stopped:
            pass
        finally:
            if coming is not None and not coming.cancel():
                coming.result().close()
    return results + [_not_reached(item) for item in job.slides[len(results) :]]


def _not_reached(item: SlideInput) -> SlideResult:
    return SlideResult(item.slide_id, item.name, "stopped", reason="the job was stopped before")
