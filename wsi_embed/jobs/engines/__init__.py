"""Engines that run the slides of a job: this process, or actors of a Ray cluster."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from wsi_embed.encoder import Encoder, EncoderPool, load_pool
from wsi_embed.encoder.batch_size import default_batch
from wsi_embed.errors import UsageError
from wsi_embed.jobs.engines.local import run_local
from wsi_embed.jobs.job import Job
from wsi_embed.jobs.listener import Listener
from wsi_embed.jobs.options import JobOptions
from wsi_embed.jobs.report import SlideResult
from wsi_embed.util.cpu import startable_readers
from wsi_embed.util.registry import Registry


class Engine(Protocol):
    """Interface of an engine, which loads the model and runs the slides of a job."""

    @property
    def workers(self) -> int:
        """Number of reader threads per process."""

    def load_pool(self, model: str | Path | None, tile_px: int | None, mpp: float | None) -> EncoderPool:
        """Load an exported model; see `wsi_embed.encoder.load_pool`."""

    def batch_size(self, encoder: Encoder) -> int | None:
        """Return the default number of tiles per batch; None if each process determines it."""

    def run(self, job: Job, listener: Listener, stop: threading.Event) -> list[SlideResult]:
        """Run all slides; see `run_local`."""


class LocalEngine:
    """Engine that runs a job in this process.

    Args:
        device: Device, as for `load_pool`.
        workers: Number of reader threads, limited to 16 per core; one per core by default.
    """

    def __init__(self, device: str, workers: int | None) -> None:
        self.device, self.workers = device, startable_readers(workers)

    def load_pool(self, model: str | Path | None, tile_px: int | None, mpp: float | None) -> EncoderPool:
        """Load an exported model on the device."""
        return load_pool(model, device=self.device, tile_px=tile_px, mpp=mpp)

    def batch_size(self, encoder: Encoder) -> int:
        """Return the default number of tiles per batch for the encoder's device."""
        return default_batch(encoder)

    def run(self, job: Job, listener: Listener, stop: threading.Event) -> list[SlideResult]:
        """Run all slides."""
        return run_local(job, listener, stop)


OpenEngine = Callable[[JobOptions, str], AbstractContextManager[Engine]]
ENGINES: Registry[OpenEngine] = Registry(
    "engine",
    {"local": "wsi_embed.jobs.engines:open_local", "ray": "wsi_embed.jobs.engines.ray.engine:open_ray"},
)


def open_engine(options: JobOptions, device: str = "cpu") -> AbstractContextManager[Engine]:
    """Open the engine of a job as a context manager.

    Args:
        options: Options of the job.
        device: Device that the model runs on.

    Raises:
        UsageError: If there is no such engine, or it cannot be used.
    """
    return ENGINES.get(options.engine)(options, device)


@contextlib.contextmanager
def open_local(options: JobOptions, device: str) -> Iterator[LocalEngine]:
    """Open the engine of this process, which takes neither an address nor actors.

    Raises:
        UsageError: If either is given.
    """
    for option, value in (("address", options.address), ("actors", options.actors)):
        if value is not None:
            raise UsageError(f"`{option}=` is of `engine='ray'`")
    yield LocalEngine(device, options.workers)
