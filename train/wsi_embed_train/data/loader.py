"""Data loader whose processes leave signals to the training."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Iterator
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from wsi_embed.errors import UsageError

SHARED = Path("/dev/shm")
# Batches that each process reads ahead: the default of PyTorch.
AHEAD = 2

# A terminal, a scheduler or `timeout` signals every process of a job. The training then saves and ends, and
# its decoding processes with it; one that ended by itself would be an error of the training.
LEFT = {
    number for name in ("SIGTERM", "SIGINT", "SIGUSR1") if (number := getattr(signal, name, None)) is not None
}


class SignalSafeLoader(DataLoader[Any]):
    """Data loader whose processes ignore SIGTERM, SIGINT and SIGUSR1, also while they start.

    Takes the arguments of `DataLoader`, but for `worker_init_fn`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"worker_init_fn": ignore_signals} | kwargs)

    def __iter__(self) -> Any:
        """Return an iterator, whose processes are started with the signals blocked."""
        if self.num_workers:
            _start_servers(self.multiprocessing_context or multiprocessing.get_context())
        with _blocked():
            return super().__iter__()


def ignore_signals(_: int) -> None:
    """Ignore the signals in this process from now on; those that came while it started are dropped."""
    for number in LEFT:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, LEFT)


def check_shared_memory(batch: int, side: int, workers: int, folder: Path = SHARED) -> None:
    """Check that the batches in flight fit into shared memory, through which the processes hand them over.

    Without room they would wait for ever. Docker gives a container 64 MiB unless it is told otherwise.

    Args:
        batch: Number of tiles in a batch.
        side: Side of a tile, pixels.
        workers: Number of decoding processes.
        folder: Mount point of the shared memory.

    Raises:
        UsageError: If they do not fit.
    """
    if not workers or not hasattr(os, "statvfs") or not folder.is_dir():
        return
    size, flying = 3 * batch * side * side, AHEAD * workers + 1
    room = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    if size * flying > room:
        raise UsageError(
            f"has {room / 1e6:,.0f} MB free, and {flying} batches of {size / 1e6:,.0f} MB are in flight",
            where=folder,
            remedy="start the container with more (docker run --shm-size 8g), or use `workers=0`",
        )


def _start_servers(context: BaseContext) -> None:
    """Start the processes of Python that start others, which would be started with the first one otherwise.

    The resource tracker unblocks SIGTERM and SIGINT when it starts, before that first process does. A fork
    server started with the signals blocked would block them in all processes that it ever starts.
    """
    method = context.get_start_method()
    if method in ("spawn", "forkserver") and os.name == "posix":
        resource_tracker.ensure_running()
    if method == "forkserver":
        forkserver.ensure_running()


@contextlib.contextmanager
def _blocked() -> Iterator[None]:
    """Block the signals in this thread, and in processes that it starts; they arrive afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, LEFT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
