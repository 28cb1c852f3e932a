"""Signals while the main thread is in a library, which runs no Python until it is done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

# A product of matrices is one call of a library, as loading a model is.
BUSY = """
import threading
import numpy as np
from wsi_embed.cli.signals import StopSignals
a = np.ones((9000, 9000))
stop = threading.Event()
with StopSignals(stop, "last words", seconds=0.5):
    print("ready", flush=True)
    a @ a  # a minute
"""


def test_a_process_that_is_busy_in_a_library_ends_in_time() -> None:
    limits = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **limits},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - began < 20
    assert (process.returncode, errors) == (75, "last words\n")
