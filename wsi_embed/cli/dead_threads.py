"""End of the process if a thread has no memory to start with, which Python itself would wait for."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

LINE = b"error: not enough memory for a thread; use fewer --workers, or raise the limit (ulimit -v)\n"


def end_with_dead_threads() -> None:
    """Let this process end with one line if a thread ends for want of memory.

    `Thread.start` waits for ever for a thread that ends before it says that it runs, and nobody does the work
    of one that ends later. Jobs can be killed at any time, so nothing is lost.
    """
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _at_start
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _later


def _at_start(args: Any) -> None:
    if args.exc_type is MemoryError and "thread started by" in (args.err_msg or ""):
        _end()
    sys.__unraisablehook__(args)


def _later(args: Any) -> None:
    if args.exc_type is MemoryError:
        _end()
    threading.__excepthook__(args)


def _end() -> None:
    os.write(2, LINE)
    os._exit(1)
