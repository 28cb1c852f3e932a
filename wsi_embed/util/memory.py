"""Memory that is free, given back to the system."""

from __future__ import annotations

import ctypes
import sys


def give_back() -> None:
    """Return what was freed, where the C library keeps it: glibc does, for each thread apart.

    Worth its milliseconds after work that took much memory in a thread of its own: other threads cannot use
    what that one's heap keeps.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)
