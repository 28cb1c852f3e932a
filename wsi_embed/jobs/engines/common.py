"""What engines share: complete slides first, an end after too many failures, results in the job's order."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from wsi_embed.jobs.job import Job
from wsi_embed.jobs.report import SlideResult
from wsi_embed.jobs.slide_steps import settle_slide

# How often a slide is asked for that another process is writing, seconds.
ASK_SECONDS = 1.0
# So many slides are looked at between two looks at `stop`.
SETTLED_AT_ONCE = 64
# While one slide's last batches are encoded and written, the next one is read.
AT_ONCE = 2


def settle(job: Job, readers: ThreadPoolExecutor, stop: threading.Event) -> Iterator[SlideResult]:
    """Results of slides that need no work, found with all threads at once."""
    for first in range(0, len(job.slides), SETTLED_AT_ONCE):
        if stop.is_set():
            return
        some = job.slides[first : first + SETTLED_AT_ONCE]
        yield from filter(None, readers.map(lambda item: settle_slide(job, item), some))


def in_order(job: Job, results: Mapping[str, SlideResult], patience: Patience) -> list[SlideResult]:
    """One result a slide, in the order of the job; those not reached have status `stopped`."""
    why = "too many slides had failed before" if patience.ended else "the job was stopped before"
    return [
        results.get(item.slide_id) or SlideResult(item.slide_id, item.name, "stopped", reason=why)
        for item in job.slides
    ]


class Patience:
    """Counts failures, and ends when the job has had too many; slides in hand are finished."""

    def __init__(self, job: Job) -> None:
        self._job, self._failed, self._lock = job, 0, threading.Lock()
        self.ended = False

    def note(self, result: SlideResult) -> None:
        """Look at a slide's outcome."""
        with self._lock:
            self._failed += result.status == "failed"
            self.ended = self.ended or self._job.gives_up(self._failed)
