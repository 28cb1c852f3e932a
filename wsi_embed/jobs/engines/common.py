"""Functions shared by engines: complete slides first, a failure limit, results in the job's order."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from wsi_embed.jobs.job import Job
from wsi_embed.jobs.report import SlideResult
from wsi_embed.jobs.slide_steps import complete_result

# Time between two attempts at slides that other processes are writing, seconds.
RETRY_SECONDS = 1.0
# Number of slides checked for completeness between two checks of `stop`.
CHECKED_AT_ONCE = 64
# Slides processed at a time: one is read while the last batches of the previous one are encoded and written.
AT_ONCE = 2


def complete_results(job: Job, readers: ThreadPoolExecutor, stop: threading.Event) -> Iterator[SlideResult]:
    """Yield the results of slides that need no work, checked in parallel."""
    for first in range(0, len(job.slides), CHECKED_AT_ONCE):
        if stop.is_set():
            return
        some = job.slides[first : first + CHECKED_AT_ONCE]
        yield from filter(None, readers.map(lambda item: complete_result(job, item), some))


def in_order(job: Job, results: Mapping[str, SlideResult], failures: FailureLimit) -> list[SlideResult]:
    """Return one result per slide, in the order of the job.

    Slides that were not reached have status `stopped`.
    """
    why = "too many slides had failed before" if failures.reached else "the job was stopped before"
    return [
        results.get(item.slide_id) or SlideResult(item.slide_id, item.name, "stopped", reason=why)
        for item in job.slides
    ]


class FailureLimit:
    """Counter of failed slides, with the limit beyond which no further slide is started.

    Attributes:
        reached: Whether more slides have failed than the job allows.
    """

    def __init__(self, job: Job) -> None:
        self._options, self._failed, self._lock = job.options, 0, threading.Lock()
        self.reached = False

    def count(self, result: SlideResult) -> None:
        """Count a slide's result if it is a failure."""
        with self._lock:
            self._failed += result.status == "failed"
            self.reached = self.reached or self._options.too_many(self._failed)

    def end(self) -> None:
        """Start no further slide, whatever the count."""
        self.reached = True
