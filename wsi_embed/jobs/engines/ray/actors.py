"""The actors of a job, from their start to their end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wsi_embed.jobs.engines.common import AT_ONCE
from wsi_embed.jobs.engines.ray.cluster import Crew, import_ray
from wsi_embed.jobs.engines.ray.worker import Parcel, SlideWorker

# So many actors may die at their start, one after the other: then there is no sense in another.
STARTS = 3


class Actors:
    """Starts actors, and knows which of them can take slides.

    For one whose process or machine dies another is started, wherever there is room. One that cannot do the
    job, for it does not see the store for example, is dismissed; the others go on.

    Args:
        parcel: The job.
        crew: What each gets.
        count: How many.
        note: Told what else there is to say.

    Attributes:
        ready: Those that take slides, with the names of their machines.
        starting: What to wait for, of those that are not ready yet.
        problem: Why the last one was dismissed.
    """

    def __init__(self, parcel: Parcel, crew: Crew, count: int, note: Callable[[str], None]) -> None:
        self._ray, self._parcel, self._note = import_ray(), parcel, note
        self._kind = self._ray.remote(SlideWorker).options(
            num_cpus=crew.cores,
            num_gpus=int(crew.gpu),
            max_concurrency=AT_ONCE + 1,  # one more, to be told to stop
            scheduling_strategy="SPREAD",
            # Both are ours. Ray would keep a slide waiting until its own actor is back, and would start one
            # that dies at its start for ever
            max_restarts=0,
            max_task_retries=0,
        )
        self._died_at_start = 0
        self.ready: dict[Any, str] = {}
        self.starting: dict[Any, Any] = {}
        self.problem = ""
        for _ in range(count):
            self._hire()

    def _hire(self) -> None:
        actor = self._kind.remote(self._parcel)
        self.starting[actor.ready.remote()] = actor

    def greet(self, ref: Any) -> None:
        """An actor has started, or failed to."""
        actor = self.starting.pop(ref)
        try:
            machine, problem = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            self._died_at_start += 1
            if self._died_at_start < STARTS:
                self._hire()
            else:
                self._dismiss(f"it died at its start: {str(error).strip().splitlines()[-1].strip()}")
            return
        if problem is not None:
            self._dismiss(f"{machine}: {problem}")
            self._ray.kill(actor)
            return
        self._died_at_start = 0
        self.ready[actor] = machine

    def _dismiss(self, problem: str) -> None:
        self.problem = problem
        self._note(f"a Ray actor less; {problem}")

    def replace(self, actor: Any) -> None:
        """An actor does not answer: end it, if it is still there, and start another."""
        if self.ready.pop(actor, None) is not None:
            self._ray.kill(actor)
            self._hire()

    def stop(self) -> None:
        """Tell them to drop their slides."""
        for actor in self.ready:
            actor.stop.remote()

    def close(self) -> None:
        """End them, whatever they do."""
        for actor in [*self.ready, *self.starting.values()]:
            self._ray.kill(actor)
