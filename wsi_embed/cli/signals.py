"""SIGTERM and SIGINT end a job so that running it again goes on."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

# SIGTERM must be answered within 10 s, whatever a batch or a slow disk is doing.
HARD_STOP_SECONDS = 8.0


class signals:
    """While open, SIGTERM and SIGINT set `stop`; a second one, or 8 s, ends the process with 75.

    What the process leaves behind then is an incomplete slide, which readers do not see.
    """

    def __init__(self, stop: threading.Event) -> None:
        self.stop = stop
        self._before: dict[int, Any] = {}
        self._timer: threading.Timer | None = None

    def __enter__(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._on_signal)

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._timer:
            self._timer.cancel()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.stop.is_set():
            _exit_now()
        self.stop.set()
        self._timer = threading.Timer(HARD_STOP_SECONDS, _exit_now)
        self._timer.daemon = True
        self._timer.start()


def _exit_now() -> None:
    """End the process from wherever it is; not even a lock of Python's output may hold it up."""
    os.write(
        2, b"stopped early, without waiting for the slide in hand; run the same command again to go on\n"
    )
    os._exit(75)
