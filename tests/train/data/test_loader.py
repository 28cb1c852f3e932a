from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils.data import get_worker_info

from tests.forked import CONTEXT
from wsi_embed.errors import UsageError
from wsi_embed_train.data.loader import SignalSafeLoader, check_shared_memory


def ignored(_: list[int]) -> list[bool]:
    """Whether this process is a worker, ignores the signals, and has none of them blocked."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    return [
        get_worker_info() is not None,
        all(signal.getsignal(number) == signal.SIG_IGN for number in numbers),
        not blocked & set(numbers),
    ]


def test_its_processes_ignore_signals_and_this_one_does_not() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ()), signal.getsignal(signal.SIGTERM)
    loader = SignalSafeLoader([0], num_workers=1, collate_fn=ignored, multiprocessing_context=CONTEXT)
    assert list(loader) == [[True, True, True]]
    assert (signal.pthread_sigmask(signal.SIG_BLOCK, ()), signal.getsignal(signal.SIGTERM)) == before


def test_signals_stay_blocked_while_the_first_process_is_started() -> None:
    """The first process that is spawned starts Python's resource tracker, which unblocks signals."""
    script = """
import signal
from multiprocessing import resource_tracker
from wsi_embed_train.data.loader import LEFT, _blocked

with _blocked():
    resource_tracker.getfd()
    assert LEFT <= signal.pthread_sigmask(signal.SIG_BLOCK, ())
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_batches_that_do_not_fit_into_shared_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Docker gives 64 MiB: a batch of 512 tiles of 224 pixels is 77 MB."""
    room = os.statvfs_result((4096, 4096, 16384, 16384, 16384, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: room)
    with pytest.raises(
        UsageError, match=r"has 67 MB free, and 5 batches of 77 MB are in flight; .*--shm-size 8g"
    ):
        check_shared_memory(512, 224, 2, tmp_path)
    check_shared_memory(64, 224, 2, tmp_path)
    check_shared_memory(512, 224, 0, tmp_path)
    check_shared_memory(512, 224, 2, tmp_path / "missing")
