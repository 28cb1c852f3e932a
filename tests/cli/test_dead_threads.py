"""Threads that have no memory to start with, or end for want of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.job_tools import make_model, make_slides
from wsi_embed.cli.dead_threads import LINE

# A job of which a thread has no memory to start with: Python itself would wait for it for ever.
_DEAD_THREAD = """
import sys, threading
from wsi_embed.cli import main

start, dead = threading.Thread._bootstrap_inner, sys.argv.pop(1)

def bootstrap(self):
    if self.name.startswith(dead):
        raise MemoryError
    start(self)

threading.Thread._bootstrap_inner = bootstrap
main()
"""


@pytest.mark.parametrize("thread", ["wsi-embed-feed", "wsi-embed-read", "zarr_io"])
def test_a_thread_that_dies_while_it_starts_ends_the_job(tmp_path: Path, thread: str) -> None:
    slides, model = make_slides(tmp_path / "slides", count=2, side=200), make_model(tmp_path)
    job = ["embed", str(slides), "--out", str(tmp_path / "f.zarr"), "--model", str(model), "--device", "cpu"]
    command = [sys.executable, "-c", _DEAD_THREAD, thread, *job]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.encode().splitlines(keepends=True)[-1] == LINE


def test_a_thread_that_ends_for_want_of_memory_ends_the_process() -> None:
    script = """
import threading, time
from wsi_embed.cli.dead_threads import end_with_dead_threads

def work():
    raise MemoryError

end_with_dead_threads()
threading.Thread(target=work).start()
time.sleep(30)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (1, LINE)


def test_other_errors_of_threads_are_told_as_ever() -> None:
    script = """
import threading
from wsi_embed.cli.dead_threads import end_with_dead_threads

end_with_dead_threads()
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
print("goes on")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (0, b"goes on\n")
    assert b"ZeroDivisionError" in done.stderr
