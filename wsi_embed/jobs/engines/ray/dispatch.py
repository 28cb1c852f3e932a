"""Dispatch of slides to actors, with retries if an actor dies."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from wsi_embed.errors import SlideError, UsageError
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.jobs.engines.common import AT_ONCE, RETRY_SECONDS, FailureLimit
from wsi_embed.jobs.engines.ray.actors import Actors
from wsi_embed.jobs.engines.ray.cluster import ActorPlan, import_ray
from wsi_embed.jobs.engines.ray.worker import Event, ShippedJob, Started
from wsi_embed.jobs.failures import path_names, record_failure, set_failed
from wsi_embed.jobs.job import Job
from wsi_embed.jobs.listener import Listener
from wsi_embed.jobs.report import SlideResult

# Number of attempts per slide: one that kills its actors must not be retried forever.
TRIES = 3
# An actor gets its next slide when this share of the current one is done: early enough to find the tissue
# meanwhile, late enough that another actor that becomes free gets it instead.
NEARLY_DONE = 0.8
# Time allowed for dropping slides that are being processed, seconds.
DROP_SECONDS = 4.0
POLL_SECONDS = 0.2


@dataclass
class _InWork:
    """Slide that an actor is processing."""

    item: SlideInput
    actor: Any
    tiles: int = 0
    done: int = 0

    @property
    def nearly_done(self) -> bool:
        return 0 < NEARLY_DONE * self.tiles <= self.done


class Dispatcher:
    """Dispatcher of slides to actors, which collects their results.

    The slide of an actor that dies is retried last, on an actor that processes no other slide: if that one
    dies too, the slide is the cause.

    Args:
        job: Job of the slides.
        todo: Slides to process.
        plan: Number and resources of the actors.
        listener: Listener for the job's progress.
        stop: Event that stops the job.
        failures: Limit beyond which no further slide is started.
    """

    def __init__(
        self,
        job: Job,
        todo: Sequence[SlideInput],
        plan: ActorPlan,
        listener: Listener,
        stop: threading.Event,
        failures: FailureLimit,
    ) -> None:
        self._job, self._todo, self._listener, self._failures = job, deque(todo), listener, failures
        self._stop, self._deadline = stop, float("inf")
        self._streams: dict[Any, _InWork] = {}
        self._tries: Counter[str] = Counter()
        self._passed, self._ask_at = 0, 0.0
        self._begun = self._reported_waiting = False
        self._ray = import_ray()
        shipped = ShippedJob.pack(job, todo)
        self._actors = Actors(shipped, plan, min(plan.count, len(todo)), listener.note)

    def results(self) -> Generator[SlideResult]:
        """Yield results as they become available; ends early if `stop` is set or too many slides fail.

        Raises:
            UsageError: If no actor can run the job.
        """
        try:
            while self._todo or self._streams:
                self._check_stop()
                if time.monotonic() > self._deadline:
                    return
                self._dispatch()
                waited = [*self._streams, *self._actors.starting]
                if not waited and not self._actors.ready:
                    yield from self._no_actor_left()
                    return
                yield from self._receive(waited)
        finally:
            self._actors.close()

    def _check_stop(self) -> None:
        if self._stop.is_set() and self._deadline == float("inf"):
            self._deadline = time.monotonic() + DROP_SECONDS
            self._actors.stop()
        if self._stop.is_set() or self._failures.reached:
            self._todo.clear()

    def _dispatch(self) -> None:
        """Give slides to actors that can take one; idle actors come first."""
        while self._todo and time.monotonic() >= self._ask_at:
            in_work: dict[Any, list[_InWork]] = {actor: [] for actor in self._actors.ready}
            for hand in self._streams.values():
                in_work.setdefault(hand.actor, []).append(hand)
            takers = [a for a in self._actors.ready if self._takes(in_work[a], self._todo[0])]
            if not takers:
                return
            actor = min(takers, key=lambda actor: len(in_work[actor]))
            item = self._todo.popleft()
            stream = actor.work.options(num_returns="streaming").remote(item)
            self._streams[stream] = _InWork(item, actor)
            self._begun = True

    def _takes(self, in_work: Sequence[_InWork], item: SlideInput) -> bool:
        """Return whether an actor that is processing these slides takes another."""
        if not in_work:
            return True
        alone = any(self._tries[each.slide_id] for each in (item, *(hand.item for hand in in_work)))
        return len(in_work) < AT_ONCE and in_work[0].nearly_done and not alone

    def _receive(self, waited: list[Any]) -> Iterator[SlideResult]:
        """Wait briefly for events from actors."""
        if not waited:  # all remaining slides are being written by other processes
            self._stop.wait(POLL_SECONDS)
            return
        for each in self._ray.wait(waited, timeout=POLL_SECONDS, fetch_local=False)[0]:
            if each in self._actors.starting:
                self._actors.actor_started(each)
                continue
            hand = self._streams[each]
            try:
                event = self._ray.get(next(each))
            except StopIteration:  # dropped
                del self._streams[each]
            except self._ray.exceptions.RayError as error:
                del self._streams[each]
                yield from self._actor_died(hand, error)
            else:
                yield from self._note(each, hand, event)

    def _note(self, stream: Any, hand: _InWork, event: Event) -> Iterator[SlideResult]:
        """Handle an event of a slide."""
        slide_id = hand.item.slide_id
        if isinstance(event, Started):
            hand.tiles, self._passed, self._reported_waiting = event.tiles, 0, False
            self._listener.slide_started(slide_id, event.tiles)
        elif isinstance(event, int):
            hand.done += event
            self._listener.tiles_done(slide_id, event)
        else:
            del self._streams[stream]
            if event is not None:
                yield event
                return
            self._todo.append(hand.item)
            self._passed += 1
            if self._passed >= len(self._todo):
                self._ask_at = time.monotonic() + RETRY_SECONDS
                if not (self._streams or self._reported_waiting):
                    self._reported_waiting = True
                    self._listener.waiting(len(self._todo))

    def _actor_died(self, hand: _InWork, error: Exception) -> Iterator[SlideResult]:
        """Retry the slide of a dead actor, or fail it. An exception raised by an actor is a bug."""
        item = hand.item
        result = SlideResult(item.slide_id, item.name)
        if isinstance(error, self._ray.exceptions.RayTaskError):
            record_failure(result, error, path_names(item, self._job.out))
            yield result
            return
        machine = self._actors.ready.get(hand.actor, "?")
        self._actors.replace(hand.actor)
        self._tries[item.slide_id] += 1
        if self._tries[item.slide_id] < TRIES:
            self._listener.note(
                f"a Ray actor on {machine} died while processing {item.name}; it is started again"
            )
            self._todo.append(item)
            return
        died = SlideError(
            f"{TRIES} Ray actors died while processing it, the last on {machine}",
            where=item.name,
            remedy="if memory ran out, fewer `workers=` or a smaller `batch_size=` may help",
        )
        set_failed(result, died, path_names(item, self._job.out))
        yield result

    def _no_actor_left(self) -> Iterator[SlideResult]:
        """Fail the remaining slides once all actors are dismissed; at the start, raise an error instead."""
        problem = f"no Ray actor can do the job; {self._actors.problem}"
        if not self._begun:
            raise UsageError(problem)
        for item in self._todo:
            result = SlideResult(item.slide_id, item.name)
            set_failed(result, SlideError(problem, where=item.name), path_names(item, self._job.out))
            yield result
