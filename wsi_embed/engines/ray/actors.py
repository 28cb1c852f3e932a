"""The actors of a job, from their start to their end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from wsi_embed.engines.common import AT_ONCE
from wsi_embed.engines.ray.cluster import Crew, import_ray
from wsi_embed.engines.ray.worker import Parcel, SlideWorker

# So often an actor may die before it is ready.
STARTS = 3


class Actors:
    """Starts actors, and knows which of them can take slides.

    An actor whose process or machine dies is started anew by Ray, wherever there is room. One that cannot do
    the job, for it does not see the store for example, is dismissed; the others go on.

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
        self._ray, self._note = import_ray(), note
        self._deaths: Counter[Any] = Counter()
        self.ready: dict[Any, str] = {}
        self.starting: dict[Any, Any] = {}
        self.problem = ""
        kind = self._ray.remote(SlideWorker).options(
            num_cpus=crew.cores,
            num_gpus=int(crew.gpu),
            max_concurrency=AT_ONCE + 1,  # one more, to be told to stop
            scheduling_strategy="SPREAD",
            # Ray's defaults are 0 and 0. Retries are ours: a slide need not wait for its own actor to return
            max_restarts=-1,
            max_task_retries=0,
        )
        for _ in range(count):
            self._await(kind.remote(parcel))

    def _await(self, actor: Any) -> None:
        self.starting[actor.ready.remote()] = actor

    def greet(self, ref: Any) -> None:
        """An actor has started, or failed to."""
        actor = self.starting.pop(ref)
        try:
            machine, problem = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            self._deaths[actor] += 1
            if isinstance(error, self._ray.exceptions.ActorDiedError) or self._deaths[actor] == STARTS:
                lines = str(error).strip().splitlines()
                self._dismiss(actor, "an actor died at its start", lines[-1] if lines else "")
            else:
                self._await(actor)
            return
        if problem is None:
            self.ready[actor] = machine
        else:
            self._dismiss(actor, f"on {machine}", problem)

    def _dismiss(self, actor: Any, where: str, why: str) -> None:
        self.problem = f"{where}: {why}"
        self._note(f"one Ray actor less: {self.problem}")
        self._ray.kill(actor)

    def lost(self, actor: Any) -> None:
        """An actor does not answer: it takes no slides until it is started anew."""
        if self.ready.pop(actor, None) is not None:
            self._await(actor)

    def stop(self) -> None:
        """Tell them to drop their slides."""
        for actor in self.ready:
            actor.stop.remote()

    def close(self) -> None:
        """End them, whatever they do."""
        for actor in [*self.ready, *self.starting.values()]:
            self._ray.kill(actor)
