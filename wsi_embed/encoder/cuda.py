"""Detection of NVIDIA GPUs, and a lock for their use by several threads."""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
from collections.abc import Iterator

DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def cuda_driver() -> tuple[tuple[int, int] | None, int]:
    """Return the CUDA version of the NVIDIA driver, (major, minor) or None, and the number of devices."""
    try:
        library = ctypes.CDLL(DRIVER)
    except OSError:
        return None, 0
    version, count = ctypes.c_int(), ctypes.c_int()
    if library.cuDriverGetVersion(ctypes.byref(version)) != 0:
        return None, 0
    if library.cuInit(0) == 0:
        library.cuDeviceGetCount(ctypes.byref(count))
    return (version.value // 1000, version.value % 1000 // 10), count.value


class SharedLock:
    """Shared/exclusive lock.

    While ONNX Runtime captures a CUDA graph, no other thread of the process may copy or allocate on any GPU,
    or the capture fails. Captures therefore take the lock exclusively, everything else shares it.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside, self._alone, self._waiting = 0, False, 0

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        """Hold the lock together with other shared holders; waiting exclusive holders go first."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone and not self._waiting)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the lock exclusively."""
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: not self._alone and not self._inside)
            self._waiting -= 1
            self._alone = True
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()


# One lock for the whole process: a capture on one GPU forbids copies on another.
CUDA = SharedLock()
