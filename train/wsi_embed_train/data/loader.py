"""Data loader whose processes leave signals to the training."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

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
        with _blocked():
            return super().__iter__()


def ignore_signals(_: int) -> None:
    """Ignore the signals in this process from now on; those that came while it started are dropped."""
    for number in LEFT:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, LEFT)


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
