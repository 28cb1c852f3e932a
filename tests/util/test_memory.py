"""Memory of threads: freed memory goes back to the system, and little is reserved under a limit."""

from __future__ import annotations

import ctypes
import subprocess
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


# Address space that 20 threads take of which each allocates a little, in MiB.
_POOLS = """
import ctypes, resource, threading
from pathlib import Path
from wsi_embed.util.memory import use_one_pool

def size():
    return int(Path("/proc/self/statm").read_text().split()[0]) * 4096 // 2**20

threading.stack_size(2**20)
if LIMITED:
    resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))
use_one_pool()
malloc = ctypes.CDLL(None).malloc
together, before = threading.Barrier(21), size()
for _ in range(20):
    threading.Thread(target=lambda: (malloc(1000), together.wait(20), together.wait(20))).start()
together.wait(20)
print(size() - before)
together.wait(20)
"""


@pytest.mark.skipif(sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="no mallopt")
def test_threads_share_one_pool_under_a_limit() -> None:
    def taken(limited: bool) -> int:
        script = _POOLS.replace("LIMITED", str(limited))
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
        )
        return int(done.stdout)

    assert taken(limited=True) < 60 < 300 < taken(limited=False)
