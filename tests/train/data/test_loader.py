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


STARTING = """
import signal
from wsi_embed_train.data.loader import SignalSafeLoader

def first(items):
    return items[0]

class Tiles:
    blocked = ()

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return sorted(self.blocked)

    def __getstate__(self):
        return {"any": 1}

    def __setstate__(self, state):  # in the process, before it ignores signals
        self.blocked = [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())]

if __name__ == "__main__":
    loader = SignalSafeLoader(
        Tiles(), num_workers=2, batch_size=1, collate_fn=first, multiprocessing_context="spawn"
    )
    for blocked in loader:
        assert {signal.SIGTERM, signal.SIGINT, signal.SIGUSR1} <= set(blocked), blocked
"""


def test_no_process_can_be_ended_while_it_starts(tmp_path: Path) -> None:
    """The first one included: Python's resource tracker, which starts before it, unblocks signals."""
    script = tmp_path / "starting.py"
    script.write_text(STARTING)
    subprocess.run([sys.executable, script], check=True)


SERVED = """
import multiprocessing, signal
from wsi_embed_train.data.loader import SignalSafeLoader

def mask(results):
    results.put([int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())])

if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    assert list(SignalSafeLoader([7], num_workers=1, multiprocessing_context=context)) == [7]
    results = context.Queue()
    other = context.Process(target=mask, args=(results,))
    other.start()
    blocked = set(results.get(timeout=60))
    other.join()
    assert not blocked & {signal.SIGTERM, signal.SIGINT, signal.SIGUSR1}, blocked
"""


def test_other_processes_of_a_fork_server_get_the_signals(tmp_path: Path) -> None:
    """A fork server that is started with signals blocked blocks them in all processes that it ever starts."""
    script = tmp_path / "served.py"
    script.write_text(SERVED)
    subprocess.run([sys.executable, script], check=True)


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
