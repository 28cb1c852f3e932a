"""Handling of SIGTERM and Ctrl-C: an orderly stop first."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import threading
import time
from types import FrameType
from typing import Any

# Schedulers kill a process 10 s after SIGTERM; exit before, whatever a batch or a slow disk is doing.
HARD_STOP_SECONDS = 8.0
# A scheduler signals every process of a job, and the script that started it may pass the signal on again.
AGAIN_SECONDS = 1.0
JOB_WORDS = "stopped early, without waiting for the slide in hand; run the same command again to go on"


class StopSignals:
    """Context in which SIGTERM and SIGINT set `stop`; a second signal ends the process with exit code 75.

    Args:
        stop: Event to set.
        last_words: Message printed if the process does not end in an orderly way.
        seconds: Time after the first signal at which the process ends in any case; None for no limit.
        also: Further signals that are handled in the same way.
        again: Time after the first signal during which another one counts as the same request, seconds.
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
        self.again, self._stopped_at = again, 0.0
        # each signal is seen twice, by the handler and the thread, and handled by whichever comes first; a
        # second one may arrive while the first is being handled
        self._seen = {"handler": itertools.count(), "thread": itertools.count()}
        self._handled: dict[int, str] = {}
        self._words = last_words.encode() + b"\n"
        self._numbers = (signal.SIGTERM, signal.SIGINT, *also)
        self._before: dict[int, Any] = {}
        self._timer: threading.Timer | None = None
        self._watched = self._wakeup_fd = -1
        self._previous_fd = -1
        self._thread: threading.Thread

    def __enter__(self) -> StopSignals:
        self._watched, self._wakeup_fd = os.pipe()
        os.set_blocking(self._wakeup_fd, False)
        self._previous_fd = signal.set_wakeup_fd(self._wakeup_fd, warn_on_full_buffer=False)
        for number in self._numbers:
            self._before[number] = signal.signal(number, self._on_signal)
        self._thread = threading.Thread(target=self._watch, name="wsi-embed-signals", daemon=True)
        with contextlib.suppress(RuntimeError):  # a limit on threads: the handlers have to do
            self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous_fd)
        os.close(self._wakeup_fd)  # ends the thread
        if self._thread.is_alive():
            self._thread.join(1.0)  # before the timer is cancelled, which it may be about to start
        if self._timer:
            self._timer.cancel()

    def _watch(self) -> None:
        """Handle signals in a thread: the main one may be in a library that loads a model for minutes."""
        with os.fdopen(self._watched, "rb", buffering=0) as signals:
            while arrived := signals.read(1):
                if arrived[0] in self._numbers:
                    self._see("thread")

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._see("handler")

    def _see(self, where: str) -> None:
        count = next(self._seen[where])
        if self._handled.setdefault(count, where) != where:
            return
        # a terminal signals all processes, and a launcher passes the signal on to them again
        if count:
            if self._stopped_at and time.monotonic() - self._stopped_at >= self.again:
                self._exit_now()
            return
        self._stopped_at = time.monotonic()
        self.stop.set()
        if self.seconds is not None:
            self._timer = threading.Timer(self.seconds, self._exit_now)
            self._timer.daemon = True
            try:
                self._timer.start()
            except RuntimeError:  # a limit on threads: nothing would end the process later
                self._exit_now()

    def _exit_now(self) -> None:
        """End the process immediately, without taking any lock of Python's output."""
        os.write(2, self._words)
        os._exit(75)


def job_signals(stop: threading.Event) -> StopSignals:
    """Return the signal handling for slide jobs: after a hard stop, only an incomplete slide is left."""
    return StopSignals(stop, JOB_WORDS, HARD_STOP_SECONDS, again=AGAIN_SECONDS)
