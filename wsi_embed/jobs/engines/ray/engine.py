"""The engine: which actors, with which model, and the job from its beginning to its end."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from wsi_embed.encoder import Encoder, EncoderPool, load_encoder, load_pool
from wsi_embed.jobs.engines.common import Patience, in_order, settle
from wsi_embed.jobs.engines.ray.cluster import actors_device, connected, find_crew
from wsi_embed.jobs.engines.ray.dispatch import Dispatcher
from wsi_embed.jobs.job import Job
from wsi_embed.jobs.report import Listener, SlideResult


class RayEngine:
    """Actors of the Ray cluster that this process is connected to.

    Args:
        device: Of each actor: `auto` (a GPU, where the cluster has one), `cpu`, `cuda`, `tensorrt`,
            `openvino`, `openvino:bf16`.
        workers: Cores and reader threads of each actor; see `find_crew` for the default.
        actors: How many; by default as many as the cluster has room for. More wait until it grows.

    Raises:
        DeviceError: There is no such device.
        UsageError: The cluster has no room for an actor.
    """

    def __init__(self, device: str, workers: int | None, actors: int | None) -> None:
        self.device, gpu = actors_device(device)
        self.crew = find_crew(gpu, workers, actors)
        self.workers = self.crew.cores

    def load_pool(self, model: str | Path | None, tile_px: int | None, mpp: float | None) -> EncoderPool:
        """Load an exported model to know what it is; the actors load it for themselves, from the same path.

        Raises:
            ModelError: The file is missing or not a model that follows the contract.
        """
        path = None if model is None else Path(model).absolute()
        here = "cpu" if self.crew.gpu else self.device  # the machine that starts the job needs no GPU
        first = load_encoder(path, device=here, tile_px=tile_px, mpp=mpp, threads=1)
        there = partial(load_pool, path, device=self.device, tile_px=tile_px, mpp=mpp, cores=self.crew.cores)
        return EncoderPool(first, where=f"{self.device} in {self.crew}", elsewhere=there)

    def batch_size(self, encoder: Encoder) -> None:
        """Each actor finds it."""

    def run(self, job: Job, listener: Listener, stop: threading.Event) -> list[SlideResult]:
        """Run all slides. Those that are complete already come first, and need no actor.

        Args:
            job: What to do.
            listener: Hears of every step.
            stop: Set it to stop: the slides in hand are dropped.

        Returns:
            One result a slide, in the order of `job.slides`; those not reached have status `stopped`.

        Raises:
            UsageError: No actor can do the job.
        """
        results: dict[str, SlideResult] = {}
        patience = Patience(job)

        def note(result: SlideResult) -> None:
            patience.note(result)
            results[result.slide_id] = result
            listener.slide_finished(result)

        listener.job_started(len(job.slides), job.headline)
        with ThreadPoolExecutor(self.workers, "wsi-embed-read") as readers:
            for result in settle(job, readers, stop):
                note(result)
                if patience.ended:
                    break
        todo = [item for item in job.slides if item.slide_id not in results]
        if todo and not (stop.is_set() or patience.ended):
            dispatcher = Dispatcher(job, todo, self.crew, listener, stop, patience)
            with contextlib.closing(dispatcher.results()) as finished:
                for result in finished:
                    note(result)
        return in_order(job, results, patience)


@contextlib.contextmanager
def open_ray(
    device: str, workers: int | None, address: str | None, actors: int | None
) -> Iterator[RayEngine]:
    """Connect to a Ray cluster, and open the engine of its actors; see `connected` and `RayEngine`."""
    with connected(address):
        yield RayEngine(device, workers, actors)
