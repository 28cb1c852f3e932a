"""Memory of the C library: less of it under a limit, and freed memory back to the operating system."""

from __future__ import annotations

import sys

# Below that limit on address space (bytes) the pools of glibc matter: 64 MiB for each thread.
AMPLE = 2**34
_M_ARENA_MAX = -8  # of <malloc.h>


def give_back() -> None:
    """Return freed memory to the operating system, where the C library holds on to it (glibc, per thread).

    This takes milliseconds and pays off after work that used much memory in a thread of its own: other
    threads cannot reuse the memory that glibc holds for that thread.
    """
    if sys.platform == "linux":
        import ctypes

        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl does not have it
        if trim is not None:
            trim(0)


def memory_limit() -> int | None:
    """Return the limit on the address space of this process (ulimit -v), bytes; None without one."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return None
    limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    return min((limit for limit in limits if limit >= 0), default=None)


def use_one_pool() -> None:
    """Let all threads share one pool of memory (glibc) where address space is limited.

    Otherwise the pools of a few threads take all of it, and no further thread has room for its stack.
    """
    limit = memory_limit()
    if sys.platform == "linux" and limit is not None and limit < AMPLE:
        import ctypes

        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl does not have it
        if mallopt is not None:
            mallopt(_M_ARENA_MAX, 1)
