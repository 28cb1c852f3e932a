"""Who runs the slides of a job: this process, or actors of a Ray cluster."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from wsi_embed.encoder import Encoder, EncoderPool, load_pool
from wsi_embed.encoder.base import cpu_count
from wsi_embed.encoder.batch_size import default_batch
from wsi_embed.errors import UsageError
from wsi_embed.jobs.engines.local import run_local
from wsi_embed.jobs.job import Job
from wsi_embed.jobs.report import Listener, SlideResult
from wsi_embed.util.registry import Registry


class Engine(Protocol):
    """Who runs the slides of a job, and where its model is."""

    @property
    def workers(self) -> int:
        """Reader threads of each process."""

    def load_pool(self, model: str | Path | None, tile_px: int | None, mpp: float | None) -> EncoderPool:
        """Load an exported model; see `wsi_embed.encoder.load_pool`."""

    def batch_size(self, encoder: Encoder) -> int | None:
        """Tiles a batch where nobody says it; None where each process is to find it."""

    def run(self, job: Job, listener: Listener, stop: threading.Event) -> list[SlideResult]:
        """Run all slides; see `run_local`."""


class LocalEngine:
    """This process.

    Args:
        device: As for `load_pool`.
        workers: Reader threads; by default one a core.
    """

    def __init__(self, device: str, workers: int | None) -> None:
        self.device, self.workers = device, workers or cpu_count()

    def load_pool(self, model: str | Path | None, tile_px: int | None, mpp: float | None) -> EncoderPool:
        """Load an exported model on the device."""
        return load_pool(model, device=self.device, tile_px=tile_px, mpp=mpp)

    def batch_size(self, encoder: Encoder) -> int:
        """What suits the encoder's device."""
        return default_batch(encoder)

    def run(self, job: Job, listener: Listener, stop: threading.Event) -> list[SlideResult]:
        """Run all slides."""
        return run_local(job, listener, stop)


OpenEngine = Callable[[str, int | None, str | None, int | None], AbstractContextManager[Engine]]
# What opens each engine, given the arguments of `open_engine` in their order.
ENGINES: Registry[OpenEngine] = Registry(
    "--engine",
    {"local": "wsi_embed.jobs.engines:open_local", "ray": "wsi_embed.jobs.engines.ray.engine:open_ray"},
)


def open_engine(
    name: str,
    *,
    device: str = "cpu",
    workers: int | None = None,
    address: str | None = None,
    actors: int | None = None,
) -> AbstractContextManager[Engine]:
    """Open an engine for as long as the context lasts.

    Args:
        name: One of `ENGINES`.
        device: Where the model runs.
        workers: Reader threads of each process; a Ray actor gets as many cores.
        address: Of the Ray cluster; see `wsi_embed.jobs.engines.ray.connected`.
        actors: Of Ray; by default as many as there is room for.

    Raises:
        UsageError: There is no such engine, or it cannot be used.
    """
    return ENGINES.get(name)(device, workers, address, actors)


@contextlib.contextmanager
def open_local(
    device: str, workers: int | None, address: str | None, actors: int | None
) -> Iterator[LocalEngine]:
    """Open the engine of this process, which takes neither an address nor actors.

    Raises:
        UsageError: If one is given.
    """
    for option, value in (("--address", address), ("--actors", actors)):
        if value is not None:
            raise UsageError(f"{option} is of --engine ray")
    yield LocalEngine(device, workers)
