"""Processor cores, and what they can compute."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def cpu_count() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
