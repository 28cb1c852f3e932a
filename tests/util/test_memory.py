"""Freed memory goes back to the system."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import numpy as np
import pytest

from wsi_embed.util.memory import give_back


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="no malloc_trim"
)
def test_freed_memory_is_given_back() -> None:
    arrays = [np.ones(100_000, np.uint8) for _ in range(600)]  # too small to be mapped one by one
    last = arrays[-1]  # at the top of the heap: what lies below it stays
    arrays.clear()
    before = resident()
    give_back()
    assert resident() < before - 30_000_000
    assert last.all()
