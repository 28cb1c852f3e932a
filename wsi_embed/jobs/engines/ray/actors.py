"""Actors of a job, from their start to their end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wsi_embed.jobs.engines.common import AT_ONCE
from wsi_embed.jobs.engines.ray.cluster import ActorPlan, import_ray
from wsi_embed.jobs.engines.ray.worker import ShippedJob, SlideWorker

# Number of successive actors that may die at their start before no further one is started.
STARTS = 3


class Actors:
    """Actors of a job, and which of them can take slides.

    An actor whose process or machine dies is replaced, wherever there is room. An actor that cannot run the
    job, for example because it does not see the store, is dismissed; the others go on.

    Args:
        shipped: Job to send to the actors.
        plan: Cores and GPU of each actor.
        count: Number of actors.
        note: Callback for remarks to the user.

    Attributes:
        ready: Actors that take slides, with the names of their machines.
        starting: References to wait for, of actors that are not ready yet.
        problem: Reason why the last actor was dismissed.
    """

    def __init__(self, shipped: ShippedJob, plan: ActorPlan, count: int, note: Callable[[str], None]) -> None:
        self._ray, self._shipped, self._note = import_ray(), shipped, note
        self._kind = self._ray.remote(SlideWorker).options(
            num_cpus=plan.cores,
            num_gpus=int(plan.gpu),
            max_concurrency=AT_ONCE + 1,  # one more, for the call of `stop`
            scheduling_strategy="SPREAD",
            # We restart and retry ourselves: Ray would keep a slide waiting until its own actor is back, and
            # would restart an actor that dies at its start forever.
            max_restarts=0,
            max_task_retries=0,
        )
        self._died_at_start = 0
        self.ready: dict[Any, str] = {}
        self.starting: dict[Any, Any] = {}
        self.problem = ""
        for _ in range(count):
            self._start()

    def _start(self) -> None:
        actor = self._kind.remote(self._shipped)
        self.starting[actor.ready.remote()] = actor

    def actor_started(self, ref: Any) -> None:
        """Register an actor that has started, or replace it if its start failed."""
        actor = self.starting.pop(ref)
        try:
            machine, problem = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            self._died_at_start += 1
            if self._died_at_start < STARTS:
                self._start()
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
        """Kill an actor that does not respond, and start another."""
        if self.ready.pop(actor, None) is not None:
            self._ray.kill(actor)
            self._start()

    def stop(self) -> None:
        """Make all actors drop their slides."""
        for actor in self.ready:
            actor.stop.remote()

    def close(self) -> None:
        """Kill all actors."""
        for actor in [*self.ready, *self.starting.values()]:
            self._ray.kill(actor)
