"""kill -9 at a chosen write, without a process: from that write on nothing that is done reaches the folder.

A real kill needs a process for every try and comes at a random moment; this one comes at every write in turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zarr.core.sync import _get_loop

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
# Python's audit events of what changes a folder, and which of their arguments is the parent's descriptor
EVENTS = {"open": None, "os.remove": 1, "os.rmdir": 1, "os.mkdir": 2, "os.rename": 2, "os.link": 2}
# TensorBoard waits for ever for its thread if that ends by anything but an `Exception`, as a kill would not.
TENSORBOARD = "_AsyncWriterThread"


class Killed(BaseException):
    """No `except Exception` holds it up, as nothing holds up a kill."""


class _Death:
    """What happens to the writes to a folder: all before a number come about, none from it on."""

    def __init__(self, folder: Path, write: int) -> None:
        self.folder, self.left = f"{folder}{os.sep}", write
        self._lock, self._own = threading.RLock(), False

    def hear(self, event: str, args: tuple[Any, ...]) -> None:
        """Of everything that Python is about to ask of the system.

        Raises:
            Killed: It does not come about.
        """
        if event not in EVENTS or (event == "open" and not args[2] & WRITES):
            return
        path = _path(args, EVENTS[event])
        if not path.startswith(self.folder):
            return
        with self._lock:
            if self._own:
                return
            self.left -= 1
            if self.left > 0:
                return
            if self.left == 0 and event == "open" and args[2] & os.O_CREAT:
                self._own = True  # a file that was opened, and then came the kill: it is there, and empty
                with contextlib.suppress(FileNotFoundError):  # or there is no folder for it
                    Path(path).write_bytes(b"")
                self._own = False
        if type(threading.current_thread()).__name__ == TENSORBOARD:
            raise OSError(errno.EIO, "killed")
        raise Killed(f"{event} {path}")


def _path(args: tuple[Any, ...], parent: int | None) -> str:
    if isinstance(args[0], int):  # a descriptor, whose opening was heard
        return ""
    path = os.fsdecode(args[0])
    if parent is None or args[parent] < 0 or os.path.isabs(path):
        return path
    return f"{os.readlink(f'/proc/self/fd/{args[parent]}')}{os.sep}{path}"


_deaths: list[_Death] = []


def _hear(event: str, args: tuple[Any, ...]) -> None:
    for death in _deaths:
        death.hear(event, args)


def killed(folder: Path, write: int, work: Callable[[], object]) -> bool:
    """Do some work, and be killed at a write.

    Args:
        folder: An absolute path; the writes to all that lies in it count.
        write: The first write that does not come about, from 1.
        work: May use threads; what it does elsewhere is not held up.

    Returns:
        Whether it was killed; else it had fewer writes.
    """
    if not _hooked:
        sys.addaudithook(_hear)  # for good: there is no way to take one away
        _hooked.append(True)
    _deaths.append(_Death(folder, write))
    try:
        with contextlib.suppress(Killed):
            work()
            return False
        return True
    finally:
        _settle()
        _deaths.clear()


def _settle() -> None:
    """Wait for what Zarr still does in its threads: it is killed as well."""

    async def rest() -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=10)

    asyncio.run_coroutine_threadsafe(rest(), _get_loop()).result(20)


_hooked: list[bool] = []
