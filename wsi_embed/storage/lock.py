"""One writer a slide, also when several jobs fill one store: a lock that dies with its owner.

Locks are on single bytes of one document of the output, which is never replaced (Linux open file
description locks: the kernel frees them with the process, and reading the file elsewhere in this process
does not). Where a file system or an operating system has no such locks nothing is held.
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

# What a lock that somebody else holds answers; anything else means that there are no locks here.
_HELD = {errno.EAGAIN, errno.EACCES}

# Beyond every byte that a slide's id can have.
_WHOLE = 2**32


def has_locks(document: Path | None) -> bool:
    """Whether two processes can keep out of each other's way on this file system."""
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
    """Hold a slide while it is written.

    Args:
        document: A file of the output that is never replaced; None where there is none to lock.
        slide_id: The slide. Its byte is the crc32 of its id, so that two slides in 4 billion share one:
            the second waits for the first.

    Yields:
        Whether it is held; False where another process has it.
    """
    with _locked(document, zlib.crc32(slide_id.encode()), wait=False) as free:
        yield free


@contextlib.contextmanager
def whole_lock(document: Path) -> Iterator[None]:
    """Wait for, then hold what belongs to no single slide; slides may be written meanwhile."""
    with _locked(document, _WHOLE, wait=True):
        yield


@contextlib.contextmanager
def _locked(document: Path | None, byte: int, *, wait: bool) -> Iterator[bool]:
    """Lock a byte of a file; False where somebody else holds it."""
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
