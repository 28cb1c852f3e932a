"""Ray engine: actors and their model, and the run of a job."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from wsi_embed.encoder import Encoder, EncoderPool, load_encoder, load_pool
from wsi_embed.jobs.engines.common import FailureLimit, complete_results, in_order
from wsi_embed.jobs.engines.ray.cluster import actors_device, connected, plan_actors
from wsi_embed.jobs.engines.ray.dispatch import Dispatcher
from wsi_embed.jobs.job import Job
from wsi_embed.jobs.listener import Listener
from wsi_embed.jobs.options import JobOptions
from wsi_embed.jobs.report import SlideResult


class RayEngine:
    """Engine that runs a job in actors of the connected Ray cluster.

    Args:
        device: Device of each actor: `auto` (a GPU, if the cluster has one), `cpu`, `cuda`, `tensorrt`,
            `openvino`, `openvino:bf16`.
        workers: Cores and reader threads of each actor; see `plan_actors` for the default.
        actors: Number of actors; by default as many as the cluster has room for. More wait until it grows.

    Raises:
        DeviceError: If load_in_actor is no such device.
        UsageError: If the cluster has no room for an actor.
    """

    def __init__(self, device: str, workers: int | None, actors: int | None) -> None:
        self.device, gpu = actors_device(device)
        self.actors = plan_actors(gpu, workers, actors)
        self.workers = self.actors.cores

    def load_pool(self, model: str | Path | None, tile_px: int | None, mpp: float | None) -> EncoderPool:
        """Load an exported model for its metadata; the actors load it themselves, from the same path.

        Raises:
            ModelError: If the file is missing or not a model that follows the contract.
        """
        path = None if model is None else Path(model).absolute()
        local_device = (
            "cpu" if self.actors.gpu else self.device
        )  # the machine that starts the job needs no GPU
        first = load_encoder(path, device=local_device, tile_px=tile_px, mpp=mpp, threads=1)
        load_in_actor = partial(
            load_pool, path, device=self.device, tile_px=tile_px, mpp=mpp, cores=self.actors.cores
        )
        return EncoderPool(first, where=f"{self.device} in {self.actors}", reload=load_in_actor)

    def batch_size(self, encoder: Encoder) -> None:
        """Return None: each actor determines it."""

    def run(self, job: Job, listener: Listener, stop: threading.Event) -> list[SlideResult]:
        """Run all slides. Those that are already complete come first, and need no actor.

        Args:
            job: Job to run.
            listener: Listener for the job's progress.
            stop: Event that stops the job: the slides being processed are dropped.

        Returns:
            One result per slide, in the order of `job.slides`; those not reached have status `stopped`.

        Raises:
            UsageError: If no actor can run the job.
        """
        results: dict[str, SlideResult] = {}
        failures = FailureLimit(job)

        def note(result: SlideResult) -> None:
            failures.count(result)
            results[result.slide_id] = result
            listener.slide_finished(result)

        listener.job_started(len(job.slides), job.headline)
        with ThreadPoolExecutor(self.workers, "wsi-embed-read") as readers:
            for result in complete_results(job, readers, stop):
                note(result)
                if failures.reached:
                    break
        todo = [item for item in job.slides if item.slide_id not in results]
        if todo and not (stop.is_set() or failures.reached):
            dispatcher = Dispatcher(job, todo, self.actors, listener, stop, failures)
            with contextlib.closing(dispatcher.results()) as finished:
                for result in finished:
                    note(result)
        return in_order(job, results, failures)


@contextlib.contextmanager
def open_ray(options: JobOptions, device: str) -> Iterator[RayEngine]:
    """Connect to a Ray cluster, and open the engine of its actors; see `connected` and `RayEngine`."""
    with connected(options.address):
        yield RayEngine(device, options.workers, options.actors)
