"""Engine that runs a job's slides in this process, with reader threads."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue

from wsi_embed.errors import Stopped
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.jobs.engines.common import AT_ONCE, RETRY_SECONDS, FailureLimit, complete_results, in_order
from wsi_embed.jobs.job import Job
from wsi_embed.jobs.listener import Listener
from wsi_embed.jobs.report import SlideResult
from wsi_embed.jobs.slide_steps import finish_slide, prepare_slide
from wsi_embed.jobs.slide_work import Busy, SlideWork

# On many cores several slides are prepared (tissue detection) in advance; each takes a thread.
MOST_AHEAD = 4
# Remote slides fetched in advance: the next one while one is read.
FETCHED_AHEAD = 2

Prepared = SlideWork | SlideResult | Busy


def run_local(job: Job, listener: Listener, stop: threading.Event) -> list[SlideResult]:
    """Run all slides; one is read while the last batches of the previous one are encoded and written.

    Slides that are already complete come first. A slide that another process is writing comes last, when that
    process has finished or ended.

    Args:
        job: Job to run.
        listener: Listener for the job's progress.
        stop: Event that stops the job: the slides being processed are dropped.

    Returns:
        One result per slide, in the order of `job.slides`; those not reached have status `stopped`.
    """
    results: dict[str, SlideResult] = {}
    serial = _Serialised(listener)
    failures = FailureLimit(job)
    serial.job_started(len(job.slides), job.headline)
    with (
        job.recording_crashes() as job,
        job.fetching(stop) as job,
        ThreadPoolExecutor(job.workers, "wsi-embed-read") as readers,
        contextlib.closing(LocalRun(job, readers, serial, stop, failures).results()) as finished,
        contextlib.suppress(Stopped),
    ):
        for result in finished:
            results[result.slide_id] = result
            serial.slide_finished(result)
    return in_order(job, results, failures)


class LocalRun:
    """Run of a job in this process.

    A feeder thread takes slides from the preparation threads and gives them to the slide threads, which read
    with the reader threads; results reach the caller through a queue.

    Args:
        job: Job, with an open cache for remote slides.
        readers: Pool of reader threads.
        listener: Listener for the job's progress; must be thread-safe.
        stop: Event that stops the job: the slides being processed are dropped.
        failures: Limit beyond which no further slide is started.
    """

    def __init__(
        self,
        job: Job,
        readers: ThreadPoolExecutor,
        listener: Listener,
        stop: threading.Event,
        failures: FailureLimit,
    ) -> None:
        self._job, self._readers, self._listener = job, readers, listener
        self._stop, self._failures = stop, failures
        self._finished: SimpleQueue[SlideResult | None] = SimpleQueue()
        self._in_work: deque[Future[None]] = deque()

    def results(self) -> Generator[SlideResult]:
        """Yield results as they become available; ends early if `stop` is set or too many slides fail.

        Raises:
            Stopped: If a slide being processed was dropped.
        """
        settled = set()
        for result in complete_results(self._job, self._readers, self._stop):
            settled.add(result.slide_id)
            self._failures.count(result)
            yield result
            if self._failures.reached:
                return
        items = [item for item in self._job.slides if item.slide_id not in settled]
        with ThreadPoolExecutor(1, "wsi-embed-feed") as feeder:
            feeding = feeder.submit(self._feed, items)
            try:
                while (result_or_end := self._finished.get()) is not None:
                    yield result_or_end
            except GeneratorExit:  # the caller wants no further results
                self._failures.end()
                raise
            feeding.result()

    def _feed(self, items: Sequence[SlideInput]) -> None:
        """Process slides as readers become free; None in the queue marks the end.

        Slides that were in work when an earlier process ended come last, each alone, so that a further end
        tells which of them it was.
        """
        suspects = self._job.crashes.suspects(list(items)) if self._job.crashes else []
        others = [item for item in items if item not in suspects]
        try:
            with ThreadPoolExecutor(AT_ONCE, "wsi-embed-slide") as slides:
                for together in (others, *([item] for item in suspects)):
                    self._feed_some(together, slides)
        finally:
            self._finished.put(None)

    def _feed_some(self, items: Sequence[SlideInput], slides: ThreadPoolExecutor) -> None:
        with contextlib.closing(self._prepared(items)) as prepared_slides:
            for prepared in prepared_slides:
                if isinstance(prepared, SlideResult):
                    self._finish(prepared)
                    continue
                self._listener.slide_started(prepared.item.slide_id, prepared.result.tiles)
                self._in_work.append(slides.submit(self._work, prepared))
                if len(self._in_work) == AT_ONCE:
                    self._in_work.popleft().result()
                prepared.all_read.wait()
            self._drain()

    def _work(self, work: SlideWork) -> None:
        on_tiles = partial(self._listener.tiles_done, work.item.slide_id)
        self._finish(finish_slide(self._job, work, self._readers, self._stop, on_tiles))

    def _finish(self, result: SlideResult) -> None:
        self._failures.count(result)
        self._finished.put(result)

    def _drain(self) -> None:
        """Wait for the slides being processed."""
        while self._in_work:
            self._in_work.popleft().result()

    def _prepared(self, items: Sequence[SlideInput]) -> Generator[SlideWork | SlideResult]:
        """Yield prepared slides, and the results of slides that need no work.

        Busy slides go to the end of the queue. If only busy ones are left, the slides being processed are
        finished before waiting for them.
        """
        todo, passed = deque(items), 0
        with contextlib.closing(_Prefetch(self._job, todo, self._stop)) as prefetch:
            for prepared in prefetch:
                if self._stop.is_set() or self._failures.reached:
                    _close(prepared)
                    return
                if not isinstance(prepared, Busy):
                    passed = 0
                    yield prepared
                    continue
                todo.append(prepared.item)
                passed += 1
                left = len(todo) + len(prefetch)
                if passed == left:
                    self._drain()
                    self._listener.waiting(left)
                if passed >= left:
                    self._stop.wait(RETRY_SECONDS)


class _Prefetch:
    """Iterator over a queue of slides that prepares the next ones in threads.

    Args:
        job: Job of the slides.
        todo: Queue; slides may be added during the iteration.
        stop: Event that stops the preparation.
    """

    def __init__(self, job: Job, todo: deque[SlideInput], stop: threading.Event) -> None:
        self._job, self._todo, self._stop = job, todo, stop
        self._coming: deque[Future[Prepared]] = deque()
        self._most = threads = max(1, min(MOST_AHEAD, job.workers // 4))
        if job.staging is not None:
            # one thread, to fetch in order: a slide waiting for cache space must not wait for a later one
            self._most, threads = FETCHED_AHEAD, 1
        self._threads = ThreadPoolExecutor(threads, "wsi-embed-prepare")

    def __len__(self) -> int:
        return len(self._coming)

    def __iter__(self) -> Iterator[Prepared]:
        while self._todo or self._coming:
            while self._todo and len(self._coming) < self._most:
                item = self._todo.popleft()
                self._coming.append(self._threads.submit(prepare_slide, self._job, item, self._stop))
            yield self._coming.popleft().result()

    def close(self) -> None:
        """Close the prepared slides that were not used."""
        for future in self._coming:
            if not future.cancel():
                with contextlib.suppress(Stopped):
                    _close(future.result())
        self._threads.shutdown()


def _close(prepared: Prepared) -> None:
    if isinstance(prepared, SlideWork):
        prepared.close()


class _Serialised(Listener):
    """Listener that passes on events from any thread one at a time."""

    def __init__(self, listener: Listener) -> None:
        lock = threading.Lock()
        for name in vars(Listener):
            if not name.startswith("_"):
                setattr(self, name, self._one_at_a_time(getattr(listener, name), lock))

    @staticmethod
    def _one_at_a_time(method: Callable[..., None], lock: threading.Lock) -> Callable[..., None]:
        def call(*args: object) -> None:
            with lock:
                method(*args)

        return call
