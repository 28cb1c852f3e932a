"""Processor cores, and what they can compute."""

from __future__ import annotations

import math
import os
import platform
import sys
import threading
from pathlib import Path

from wsi_embed.util.cgroups import cpu_quota, threads_left
from wsi_embed.util.memory import memory_limit

# Beyond that number more readers only take memory.
READERS_A_CORE = 16
# Threads of a job beside its readers, its sessions and those of Zarr.
OTHERS = 8
# Below that limit on address space, bytes, libraries leave no room with a buffer for each of their threads.
SCARCE = 2**32
LOAD = Path("/proc/loadavg")


def cpu_count() -> int:
    """Return the number of cores this process may use: by its affinity, and by the quota of its container."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def startable_readers(wanted: int | None = None) -> int:
    """Return the number of reader threads to use.

    Args:
        wanted: Number that the user asked for; by default one per core.

    Returns:
        That number, limited to 16 per core, and to what the limits on threads and memory allow.
    """
    return startable_threads(min(wanted or cpu_count(), READERS_A_CORE * cpu_count()))


def startable_threads(most: int) -> int:
    """Return the number of threads, 1 to `most`, that the limits on processes and memory allow.

    Some are left for the rest of a job.
    """
    # sessions of the model, threads of Zarr (as many as asyncio has), and the others
    rest = cpu_count() + min(32, (os.cpu_count() or 1) + 4) + OTHERS
    return max(1, min(most, _started(most + rest) - rest))


def limit_library_threads() -> None:
    """Let libraries compute with one thread if they could not start more, or address space is scarce.

    To be called before they are imported: otherwise OpenBLAS sends this process SIGINT, and OpenMP ends it.
    NumPy, SciPy and OpenCV each have an OpenBLAS of their own.
    """
    most = 3 * (os.cpu_count() or 1)
    if "numpy" in sys.modules or not _may_be_limited(most):
        return
    if (memory_limit() or SCARCE) < SCARCE or _started(most) < most:
        for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
            os.environ.setdefault(name, "1")


def _may_be_limited(count: int) -> bool:
    """Return whether a limit on processes or memory may keep `count` more threads from being started.

    It takes less than a millisecond; to start threads takes up to 0.4 ms each.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return False
    left = threads_left()
    if (left is not None and left < count) or memory_limit() is not None:
        return True
    most = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    try:
        all_users = int(LOAD.read_text("ascii").split()[3].partition("/")[2])
    except (OSError, ValueError, IndexError):
        return most >= 0
    return 0 <= most < all_users + count


def _started(count: int) -> int:
    """Start up to `count` threads at once and return how many there were: less than 1 ms for each ten."""
    end, started = threading.Event(), list[threading.Thread]()
    try:
        for _ in range(count):
            thread = threading.Thread(target=end.wait, daemon=True)
            thread.start()
            started.append(thread)
    except (RuntimeError, MemoryError):
        pass  # the limit
    finally:
        end.set()
        for thread in started:
            thread.join()
    return len(started)


def has_vnni() -> bool:
    """Return whether sums of uint8 x int8 products are exact: on x86 that takes VNNI or AMX.

    On an x86 processor whose features are not known, the answer is False.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    try:
        known = Path("/proc/cpuinfo").read_text("ascii", "replace")
    except OSError:
        return False
    return "vnni" in known or "amx_int8" in known
