"""SIGTERM and Ctrl-C: ask for an orderly end first."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from types import FrameType
from typing import Any

# SIGTERM must be answered within 10 s, whatever a batch or a slow disk is doing.
HARD_STOP_SECONDS = 8.0
# A scheduler signals every process of a job, and a script that started it passes the signal on once more.
AGAIN_SECONDS = 1.0
JOB_WORDS = "stopped early, without waiting for the slide in hand; run the same command again to go on"


class StopSignals:
    """While open, SIGTERM and SIGINT set `stop`; a second one ends the process with 75 at once.

    Args:
        stop: What is to be set.
        last_words: Said where the process does not end in order.
        seconds: So long after the first signal the process ends in any case; None waits.
        also: Further signals that ask for the same.
        again: A signal within so many seconds of the first is the same request.
    """

    def __init__(
        self,
        stop: threading.Event,
        last_words: str,
        seconds: float | None = None,
        also: tuple[int, ...] = (),
        again: float = 0.0,
    ) -> None:
        self.stop, self.seconds = stop, seconds
        self.again, self._asked = again, 0.0
        self._count = itertools.count()  # of signals; a second may come while the first is being answered
        self._words = last_words.encode() + b"\n"
        self._numbers = (signal.SIGTERM, signal.SIGINT, *also)
        self._before: dict[int, Any] = {}
        self._timer: threading.Timer | None = None

    def __enter__(self) -> StopSignals:
        for number in self._numbers:
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._timer:
            self._timer.cancel()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # a terminal signals all processes, and a launcher passes it on to them once more
        if next(self._count):
            if self._asked and time.monotonic() - self._asked >= self.again:
                self._exit_now()
            return
        self._asked = time.monotonic()
        self.stop.set()
        if self.seconds is not None:
            self._timer = threading.Timer(self.seconds, self._exit_now)
            self._timer.daemon = True
            self._timer.start()

    def _exit_now(self) -> None:
        """End the process from wherever it is; not even a lock of Python's output may hold it up."""
        os.write(2, self._words)
        os._exit(75)


def job_signals(stop: threading.Event) -> StopSignals:
    """For jobs of slides: what the process leaves behind is an incomplete slide, which readers do not see."""
    return StopSignals(stop, JOB_WORDS, HARD_STOP_SECONDS, again=AGAIN_SECONDS)
