"""Run a job's slides in this process, with reader threads."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue

from wsi_embed.errors import Stopped
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.jobs.engines.common import ASK_SECONDS, AT_ONCE, Patience, in_order, settle
from wsi_embed.jobs.job import Job, PreparedSlide
from wsi_embed.jobs.listener import Listener
from wsi_embed.jobs.report import SlideResult
from wsi_embed.jobs.slide_steps import finish_slide, prepare_slide

# On many cores tissue is found for several slides ahead; each takes a thread.
MOST_AHEAD = 4
# While one slide is read, the next is fetched from elsewhere.
STAGED_AHEAD = 2


def run_local(job: Job, listener: Listener, stop: threading.Event) -> list[SlideResult]:
    """Run all slides; one is read while the last batches of the one before are encoded and written.

    Slides that are complete already come first. One that another process is writing comes last, when that
    process is done with it or gone.

    Args:
        job: What to do.
        listener: Hears of every step.
        stop: Set it to stop: the slides in hand are dropped.

    Returns:
        One result a slide, in the order of `job.slides`; those not reached have status `stopped`.
    """
    results: dict[str, SlideResult] = {}
    patience = Patience(job)
    listener = _OneAtATime(listener)
    listener.job_started(len(job.slides), job.headline)
    with (
        job.fetching(stop) as job,
        ThreadPoolExecutor(job.workers, "wsi-embed-read") as readers,
        contextlib.closing(_run(job, readers, listener, stop, patience)) as finished,
        contextlib.suppress(Stopped),
    ):
        for result in finished:
            results[result.slide_id] = result
            listener.slide_finished(result)
    return in_order(job, results, patience)


def _run(
    job: Job,
    readers: ThreadPoolExecutor,
    listener: Listener,
    stop: threading.Event,
    patience: Patience,
) -> Generator[SlideResult]:
    """Results as they come; ends early where `stop` is set, and begins no slide when the job gives up."""
    settled = set()
    for result in settle(job, readers, stop):
        settled.add(result.slide_id)
        patience.note(result)
        yield result
        if patience.ended:
            return
    items = [item for item in job.slides if item.slide_id not in settled]
    finished: SimpleQueue[SlideResult | None] = SimpleQueue()
    with ThreadPoolExecutor(1, "wsi-embed-feed") as feeder:
        feeding = feeder.submit(_feed, job, items, readers, listener, stop, patience, finished)
        try:
            while (result_or_end := finished.get()) is not None:
                yield result_or_end
        except GeneratorExit:  # nobody listens any more
            patience.ended = True
            raise
        feeding.result()


def _feed(
    job: Job,
    items: Sequence[SlideInput],
    readers: ThreadPoolExecutor,
    listener: Listener,
    stop: threading.Event,
    patience: Patience,
    finished: SimpleQueue[SlideResult | None],
) -> None:
    """Work on slides as readers get free, and put results where they are waited for; None at the end."""

    def work(prepared: PreparedSlide) -> None:
        on_tiles = partial(listener.tiles_done, prepared.item.slide_id)
        result = finish_slide(job, prepared, readers, stop, on_tiles)
        patience.note(result)
        finished.put(result)

    going: deque[Future[None]] = deque()

    def drain() -> None:
        while going:
            going.popleft().result()

    try:
        with (
            contextlib.closing(_prepare(job, items, listener, stop, patience, drain)) as prepared_slides,
            ThreadPoolExecutor(AT_ONCE, "wsi-embed-slide") as slides,
        ):
            for prepared in prepared_slides:
                if prepared.plan is None:
                    work(prepared)  # there is nothing to do
                    continue
                listener.slide_started(prepared.item.slide_id, prepared.result.tiles)
                going.append(slides.submit(work, prepared))
                if len(going) == AT_ONCE:
                    going.popleft().result()
                prepared.all_asked.wait()
            drain()
    finally:
        finished.put(None)


def _prepare(
    job: Job,
    items: Sequence[SlideInput],
    listener: Listener,
    stop: threading.Event,
    patience: Patience,
    drain: Callable[[], None],
) -> Generator[PreparedSlide]:
    """Slides ready to be worked on, some ahead of whoever asks; busy ones go to the end of the queue.

    Where only busy ones are left, those in hand are finished (`drain`) before it waits.
    """
    todo, passed = deque(items), 0
    coming: deque[Future[PreparedSlide]] = deque()
    most = max(1, min(MOST_AHEAD, job.workers // 4))
    threads = most
    if job.staging is not None:  # fetched in order: one that waits for room must not wait for a later one
        most, threads = STAGED_AHEAD, 1
    with ThreadPoolExecutor(threads, "wsi-embed-prepare") as ahead:
        try:
            while todo or coming:
                while todo and len(coming) < most:
                    coming.append(ahead.submit(prepare_slide, job, todo.popleft()))
                prepared = coming.popleft().result()
                if stop.is_set() or patience.ended:
                    prepared.close()
                    return
                if prepared.busy:
                    todo.append(prepared.item)
                    passed += 1
                    left = len(todo) + len(coming)
                    if passed == left:
                        drain()
                        listener.waiting(left)
                    if passed >= left:
                        stop.wait(ASK_SECONDS)
                    continue
                passed = 0
                yield prepared
        finally:
            for future in coming:
                if not future.cancel():
                    future.result().close()


class _OneAtATime:
    """A listener that is told one thing after the other, whichever thread tells it."""

    def __init__(self, listener: Listener) -> None:
        self._listener, self._lock = listener, threading.Lock()

    def __getattr__(self, name: str) -> Callable[..., None]:
        told = getattr(self._listener, name)

        def tell(*args: object) -> None:
            with self._lock:
                told(*args)

        return tell
