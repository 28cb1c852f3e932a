"""Locks that keep several jobs on one output from writing the same slide, released when their process dies.

Locks are taken on single bytes of one file of the output that is never replaced. They are Linux open file
description locks: the kernel releases them with the process, and closing another handle of the file does not.
Where the file system or operating system lacks such locks, nothing is locked.
"""

from __future__ import annotations

import contextlib
import errno
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    _OFD = False
else:
    _OFD = hasattr(fcntl, "F_OFD_SETLK")  # not on macOS

# Error numbers for a lock held by another process; any other means that locks are not supported.
_HELD = {errno.EAGAIN, errno.EACCES}

# Byte beyond those of all slide ids.
_WHOLE = 2**32


def has_locks(document: Path | None) -> bool:
    """Return whether locks between processes work on a file's file system."""
    if not _OFD or document is None:
        return False
    try:
        with document.open("r+b") as file:
            fcntl.fcntl(file, fcntl.F_OFD_GETLK, _region(_WHOLE))
    except OSError:
        return False
    return True


@contextlib.contextmanager
def slide_lock(document: Path | None, slide_id: str) -> Iterator[bool]:
    """Lock a slide while it is written.

    Args:
        document: File of the output that is never replaced; None if the output does not support locks.
        slide_id: Slide id. Its CRC-32 is the byte to lock; two ids rarely share one, and then the second
            slide has to wait for the first.

    Yields:
        Whether the lock is held; False if another process holds it.
    """
    with _locked(document, zlib.crc32(slide_id.encode()), wait=False) as free:
        yield free


@contextlib.contextmanager
def whole_lock(document: Path) -> Iterator[None]:
    """Wait for, then hold, the lock for what concerns the whole output; slides may be written meanwhile."""
    with _locked(document, _WHOLE, wait=True):
        yield


@contextlib.contextmanager
def _locked(document: Path | None, byte: int, *, wait: bool) -> Iterator[bool]:
    """Lock a byte of a file and yield whether it succeeded."""
    if not _OFD or document is None:
        yield True
        return
    try:
        file = document.open("r+b")
    except OSError:
        yield True
        return
    with file:
        free = True
        try:
            fcntl.fcntl(file, fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK, _region(byte))
        except OSError as error:
            free = error.errno not in _HELD
        yield free


def _region(byte: int) -> bytes:
    return struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, byte, 1, 0)
