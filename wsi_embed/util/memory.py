"""Return of freed memory to the operating system."""

from __future__ import annotations

import ctypes
import sys


def give_back() -> None:
    """Return freed memory to the operating system, where the C library holds on to it (glibc, per thread).

    This takes milliseconds and pays off after work that used much memory in a thread of its own: other
    threads cannot reuse the memory that glibc holds for that thread.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl does not have it
        if trim is not None:
            trim(0)
