"""Progress of commands that take more than two seconds: a bar on a terminal, lines in a log."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from wsi_embed.cli.lines import echo
from wsi_embed.util.progress import Watcher

# Time after which a loop is shown, and time between lines of a log, seconds.
SECONDS, INTERVAL = 2.0, 30.0


class ProgressDisplay(Watcher):
    """Watcher that shows loops on standard error once they take longer than two seconds."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._timer: threading.Timer | None = None
        self._what, self._done, self._began = "", 0, 0.0
        self._total: int | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended()

    def started(self, what: str, total: int | None) -> None:
        """Show the loop after a while."""
        self._what, self._total, self._done, self._began = what, total, 0, time.monotonic()
        self._later(SECONDS)

    def advanced(self, count: int) -> None:
        """Advance the bar."""
        self._done += count
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._done)

    def ended(self) -> None:
        """Remove the bar."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            if self._bar is not None:
                self._bar.stop()
            self._timer = self._bar = None

    def _later(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._show)
        self._timer.daemon = True
        with contextlib.suppress(RuntimeError):  # a limit on threads: go on without a display
            self._timer.start()

    def _show(self) -> None:
        with self._lock:
            if self._timer is None:
                return
            console = Console(stderr=True, emoji=False)
            if not console.is_terminal:
                echo(self._line(), err=True)
                self._later(INTERVAL)
                return
            counts = (MofNCompleteColumn(),) if self._total else ()
            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(bar_width=30), *counts, TimeElapsedColumn(),
                console=console, transient=True, redirect_stdout=sys.stdout.isatty(),
            )  # fmt: skip
            self._bar.add_task(self._what, total=self._total or None, completed=self._done)
            self._bar.start()

    def _line(self) -> str:
        seconds = f"{time.monotonic() - self._began:.0f} s"
        if not self._total:
            return f"{self._what}, {seconds}"
        return f"{self._what}: {self._done:,} of {self._total:,}, {seconds}"
