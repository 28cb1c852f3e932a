"""Parts of a file at given offsets, which several threads may read from one open file."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

_seeking = threading.Lock()


def open_to_read(path: Path) -> int:
    """Open a file, and return its descriptor.

    Raises:
        OSError: If the file cannot be opened.
    """
    return os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))  # Windows would change line ends


def seek_and_read(descriptor: int, size: int, offset: int) -> bytes:
    """Read a part of a file as `os.pread` does, which Windows lacks: one thread at a time."""
    with _seeking:
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, size)


# Returns up to `size` bytes at an offset of an open file: read_at(descriptor, size, offset).
read_at: Callable[[int, int, int], bytes] = getattr(os, "pread", seek_and_read)
