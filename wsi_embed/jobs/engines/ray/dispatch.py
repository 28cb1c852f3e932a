"""Which actor works on which slide, and what becomes of slides whose actor dies."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from wsi_embed.errors import UsageError
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.jobs.engines.common import ASK_SECONDS, AT_ONCE, Patience
from wsi_embed.jobs.engines.ray.actors import Actors
from wsi_embed.jobs.engines.ray.cluster import Crew, import_ray
from wsi_embed.jobs.engines.ray.worker import Event, Parcel, Started
from wsi_embed.jobs.failures import record_failure
from wsi_embed.jobs.job import Job
from wsi_embed.jobs.listener import Listener
from wsi_embed.jobs.report import SlideResult

# So often a slide is given to an actor: one that kills them must not do so for ever.
TRIES = 3
# An actor gets its next slide when so much of the one in hand is done: early enough to find the tissue
# meanwhile, late enough that another actor, if one is free by then, gets it.
NEARLY_DONE = 0.8
# How long slides in hand may take to be dropped, seconds.
DROP_SECONDS = 4.0
LOOK_SECONDS = 0.2


@dataclass
class _InHand:
    """A slide that an actor works on."""

    item: SlideInput
    actor: Any
    tiles: int = 0
    done: int = 0

    @property
    def nearly_done(self) -> bool:
        return 0 < NEARLY_DONE * self.tiles <= self.done


class Dispatcher:
    """Gives slides to actors, and hears of them what becomes of the slides.

    The slide of an actor that dies is given to whichever is free: last, and alone, so that it is clear who
    is to blame if that one dies, too.

    Args:
        job: What to do.
        todo: The slides.
        crew: The actors.
        listener: Hears of every step.
        stop: Set it to stop.
        patience: No slide is begun once it has ended.
    """

    def __init__(
        self,
        job: Job,
        todo: Sequence[SlideInput],
        crew: Crew,
        listener: Listener,
        stop: threading.Event,
        patience: Patience,
    ) -> None:
        self._job, self._todo, self._listener, self._patience = job, deque(todo), listener, patience
        self._stop, self._deadline = stop, float("inf")
        self._streams: dict[Any, _InHand] = {}
        self._tries: Counter[str] = Counter()
        self._passed, self._ask_at = 0, 0.0
        self._begun = self._said_waiting = False
        self._ray = import_ray()
        parcel = Parcel.pack(job, todo)
        self._actors = Actors(parcel, crew, min(crew.count, len(todo)), listener.note)

    def results(self) -> Generator[SlideResult]:
        """Results as they come; ends early where `stop` is set or the job gives up.

        Raises:
            UsageError: No actor can do the job.
        """
        try:
            while self._todo or self._streams:
                self._look_at_stop()
                if time.monotonic() > self._deadline:
                    return
                self._hand_out()
                waited = [*self._streams, *self._actors.starting]
                if not waited and not self._actors.ready:
                    yield from self._nobody_left()
                    return
                yield from self._hear(waited)
        finally:
            self._actors.close()

    def _look_at_stop(self) -> None:
        if self._stop.is_set() and self._deadline == float("inf"):
            self._deadline = time.monotonic() + DROP_SECONDS
            self._actors.stop()
        if self._stop.is_set() or self._patience.ended:
            self._todo.clear()

    def _hand_out(self) -> None:
        """Give slides to actors that can take one; those with nothing in hand come first."""
        while self._todo and time.monotonic() >= self._ask_at:
            in_hand: dict[Any, list[_InHand]] = {actor: [] for actor in self._actors.ready}
            for hand in self._streams.values():
                in_hand.setdefault(hand.actor, []).append(hand)
            takers = [a for a in self._actors.ready if self._takes(in_hand[a], self._todo[0])]
            if not takers:
                return
            actor = min(takers, key=lambda actor: len(in_hand[actor]))
            item = self._todo.popleft()
            stream = actor.work.options(num_returns="streaming").remote(item)
            self._streams[stream] = _InHand(item, actor)
            self._begun = True

    def _takes(self, in_hand: Sequence[_InHand], item: SlideInput) -> bool:
        """Whether an actor with these slides in hand takes another."""
        if not in_hand:
            return True
        alone = any(self._tries[each.slide_id] for each in (item, *(hand.item for hand in in_hand)))
        return len(in_hand) < AT_ONCE and in_hand[0].nearly_done and not alone

    def _hear(self, waited: list[Any]) -> Iterator[SlideResult]:
        """Wait a little for whoever has something to say."""
        if not waited:  # all that is left is being written by other processes
            self._stop.wait(LOOK_SECONDS)
            return
        for each in self._ray.wait(waited, timeout=LOOK_SECONDS, fetch_local=False)[0]:
            if each in self._actors.starting:
                self._actors.greet(each)
                continue
            hand = self._streams[each]
            try:
                event = self._ray.get(next(each))
            except StopIteration:  # dropped
                del self._streams[each]
            except self._ray.exceptions.RayError as error:
                del self._streams[each]
                yield from self._bury(hand, error)
            else:
                yield from self._note(each, hand, event)

    def _note(self, stream: Any, hand: _InHand, event: Event) -> Iterator[SlideResult]:
        """Pass on what an actor says of a slide."""
        slide_id = hand.item.slide_id
        if isinstance(event, Started):
            hand.tiles, self._passed, self._said_waiting = event.tiles, 0, False
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
                self._ask_at = time.monotonic() + ASK_SECONDS
                if not (self._streams or self._said_waiting):
                    self._said_waiting = True
                    self._listener.waiting(len(self._todo))

    def _bury(self, hand: _InHand, error: Exception) -> Iterator[SlideResult]:
        """An actor died with a slide in hand: it is tried again, or fails. What an actor raises is a bug."""
        item = hand.item
        result = SlideResult(item.slide_id, item.name)
        if isinstance(error, self._ray.exceptions.RayTaskError):
            record_failure(result, error, self._job.names(item))
            yield result
            return
        machine = self._actors.ready.get(hand.actor, "?")
        self._actors.replace(hand.actor)
        self._tries[item.slide_id] += 1
        if self._tries[item.slide_id] < TRIES:
            self._listener.note(f"a Ray actor on {machine} died with {item.name} in hand; it is begun anew")
            self._todo.append(item)
            return
        result.status = "failed"
        result.reason = (
            f"{item.name}: {TRIES} Ray actors died with it in hand, the last on {machine}; if memory "
            "ran out, fewer --workers or a smaller --batch-size may help"
        )
        yield result

    def _nobody_left(self) -> Iterator[SlideResult]:
        """All actors were dismissed: at the start it is the job that is wrong, later what is left fails."""
        problem = f"no Ray actor can do the job; {self._actors.problem}"
        if not self._begun:
            raise UsageError(problem)
        for item in self._todo:
            yield SlideResult(item.slide_id, item.name, "failed", reason=f"{item.name}: {problem}")
