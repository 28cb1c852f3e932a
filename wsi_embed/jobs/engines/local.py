"""Run a job's slides in this process, with reader threads."""

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

# On many cores tissue is found for several slides ahead; each takes a thread.
MOST_AHEAD = 4
# While one slide is read, the next is fetched.
FETCHED_AHEAD = 2

Prepared = SlideWork | SlideResult | Busy


def run_local(job: Job, listener: Listener, stop: threading.Event) -> list[SlideResult]:
    """Run all slides; one is read while the last batches of the one before are encoded and written.

    Slides that are complete already come first. One that another process is writing comes last, when that
    process is done with it or gone.

    Args:
        job: The job.
        listener: Receiver of every event.
        stop: Set it to stop: the slides in work are dropped.

    Returns:
        One result a slide, in the order of `job.slides`; those not reached have status `stopped`.
    """
    results: dict[str, SlideResult] = {}
    one_at_a_time = _OneAtATime(listener)
    failures = FailureLimit(job)
    one_at_a_time.job_started(len(job.slides), job.headline)
    with (
        job.fetching(stop) as job,
        ThreadPoolExecutor(job.workers, "wsi-embed-read") as readers,
        contextlib.closing(LocalRun(job, readers, one_at_a_time, stop, failures).results()) as finished,
        contextlib.suppress(Stopped),
    ):
        for result in finished:
            results[result.slide_id] = result
            one_at_a_time.slide_finished(result)
    return in_order(job, results, failures)


class LocalRun:
    """One run of a job in this process.

    A feeding thread takes slides from the preparation threads and gives them to the slide threads, which read
    with the reader threads; results reach the caller through a queue.

    Args:
        job: The job, able to fetch its remote slides.
        readers: The reader threads.
        listener: Receiver of every event; safe to call from any thread.
        stop: Set it to stop: the slides in work are dropped.
        failures: Once it is reached, no further slide is begun.
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
        """Yield results as they come; ends early where `stop` is set, or too many slides fail.

        Raises:
            Stopped: If a slide in work was dropped.
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
            except GeneratorExit:  # the caller takes no further result
                self._failures.end()
                raise
            feeding.result()

    def _feed(self, items: Sequence[SlideInput]) -> None:
        """Work on slides as readers get free; None in the queue marks the end."""
        try:
            with (
                contextlib.closing(self._prepared(items)) as prepared_slides,
                ThreadPoolExecutor(AT_ONCE, "wsi-embed-slide") as slides,
            ):
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
        finally:
            self._finished.put(None)

    def _work(self, work: SlideWork) -> None:
        on_tiles = partial(self._listener.tiles_done, work.item.slide_id)
        self._finish(finish_slide(self._job, work, self._readers, self._stop, on_tiles))

    def _finish(self, result: SlideResult) -> None:
        self._failures.count(result)
        self._finished.put(result)

    def _drain(self) -> None:
        """Wait for the slides in work."""
        while self._in_work:
            self._in_work.popleft().result()

    def _prepared(self, items: Sequence[SlideInput]) -> Generator[SlideWork | SlideResult]:
        """Yield slides ready to be worked on, and results where there is no work.

        Busy slides go to the end of the queue. Where only busy ones are left, the slides in work are finished
        before it waits for them.
        """
        todo, passed = deque(items), 0
        with contextlib.closing(_Ahead(self._job, todo)) as ahead:
            for prepared in ahead:
                if self._stop.is_set() or self._failures.reached:
                    _close(prepared)
                    return
                if not isinstance(prepared, Busy):
                    passed = 0
                    yield prepared
                    continue
                todo.append(prepared.item)
                passed += 1
                left = len(todo) + len(ahead)
                if passed == left:
                    self._drain()
                    self._listener.waiting(left)
                if passed >= left:
                    self._stop.wait(RETRY_SECONDS)


class _Ahead:
    """Slides of a queue, each prepared by a thread before it is asked for.

    Args:
        job: The job.
        todo: The queue; slides may be added while it is worked through.
    """

    def __init__(self, job: Job, todo: deque[SlideInput]) -> None:
        self._job, self._todo = job, todo
        self._coming: deque[Future[Prepared]] = deque()
        self._most = threads = max(1, min(MOST_AHEAD, job.workers // 4))
        if job.staging is not None:
            # fetched in order: one that waits for room must not wait for a later one
            self._most, threads = FETCHED_AHEAD, 1
        self._threads = ThreadPoolExecutor(threads, "wsi-embed-prepare")

    def __len__(self) -> int:
        return len(self._coming)

    def __iter__(self) -> Iterator[Prepared]:
        while self._todo or self._coming:
            while self._todo and len(self._coming) < self._most:
                self._coming.append(self._threads.submit(prepare_slide, self._job, self._todo.popleft()))
            yield self._coming.popleft().result()

    def close(self) -> None:
        """Close the slides that nobody asked for."""
        for future in self._coming:
            if not future.cancel():
                _close(future.result())
        self._threads.shutdown()


def _close(prepared: Prepared) -> None:
    if isinstance(prepared, SlideWork):
        prepared.close()


class _OneAtATime:
    """A listener that receives one event after the other, from whichever thread."""

    def __init__(self, listener: Listener) -> None:
        self._listener, self._lock = listener, threading.Lock()

    def __getattr__(self, name: str) -> Callable[..., None]:
        method = getattr(self._listener, name)

        def call(*args: object) -> None:
            with self._lock:
                method(*args)

        return call
