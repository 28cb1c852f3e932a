"""Limits on threads, processes and memory: one line, with what to raise."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.job_tools import invoke, make_model, make_slides
from wsi_embed.util import cpu
from wsi_embed.util.limits import limit_error


def imported(name: str, cause: str) -> ImportError:
    error = ImportError(f"{name} seems to be broken")
    error.__cause__ = ImportError(cause)
    return error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RuntimeError("can't start new thread"), "the limit on threads is reached; raise it (ulimit -u, "),
        (BlockingIOError(11, "Resource temporarily unavailable"), "the limit on processes is reached; "),
        (MemoryError(), "not enough memory; use fewer `workers=`"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "not enough memory; use fewer `workers=`"),
        (OSError("libopenslide.so.1: failed to map segment"), "not enough memory to load a library"),
        (
            ImportError("cv2.so: failed to map segment from shared object"),
            "not enough memory to load a library",
        ),
        (
            imported("scipy", "x.so: cannot allocate memory in static TLS block"),
            "not enough memory to load a",
        ),
    ],
)
def test_a_limit_is_one_line(error: Exception, text: str) -> None:
    assert str(limit_error(error)).startswith(text)


def test_a_thread_for_which_there_is_no_address_space(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsi_embed.util.limits.memory_limit", lambda: 2**31)
    assert str(limit_error(RuntimeError("can't start new thread"))) == (
        "no room for another thread within 2048 MiB of address space; use fewer `workers=`, or raise the "
        "limit (ulimit -v, or -u)"
    )


def _full_pipe() -> BlockingIOError:
    error = BlockingIOError(11, "write could not complete without blocking")
    error.characters_written = 3
    return error


@pytest.mark.parametrize(
    "error", [RuntimeError("another"), OSError(28, "No space left"), ImportError("no module x"), _full_pipe()]
)
def test_other_errors_are_none(error: Exception) -> None:
    assert limit_error(error) is None


def test_the_command_line_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: str) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("wsi_embed.store.verify", refused)
    monkeypatch.setattr("sys.unraisablehook", sys.unraisablehook)
    done = invoke("verify", "f.zarr")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: the limit on threads is reached; raise it (ulimit -u, or the pids limit of the container)\n"
    )


def test_readers_are_as_many_as_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "cpu_count", lambda: 2)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr(cpu, "_started", lambda count: count)
    assert [cpu.startable_readers(n) for n in (None, 5, 1000)] == [2, 5, 32]
    monkeypatch.setattr(cpu, "_started", lambda count: min(count, 20))
    assert [cpu.startable_readers(n) for n in (None, 5, 1000)] == [2, 4, 4]
    monkeypatch.setattr(cpu, "_started", lambda count: min(count, 3))
    assert cpu.startable_readers(5) == 1


def test_libraries_have_one_thread_if_more_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "numpy")
    monkeypatch.setattr("os.environ", environment := {"OMP_NUM_THREADS": "2"})
    monkeypatch.setattr(cpu, "_may_be_limited", lambda _: True)
    cpu.limit_library_threads()
    assert environment == {"OMP_NUM_THREADS": "2"}
    monkeypatch.setattr(cpu, "_started", lambda count: count - 1)
    cpu.limit_library_threads()
    assert environment == {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "1"}


@pytest.mark.parametrize(("limit", "threads"), [(None, None), (2**31, "1"), (2**40, None)])
def test_libraries_have_one_thread_where_address_space_is_scarce(
    monkeypatch: pytest.MonkeyPatch, limit: int | None, threads: str | None
) -> None:
    monkeypatch.delitem(sys.modules, "numpy")
    monkeypatch.setattr("os.environ", environment := dict[str, str]())
    monkeypatch.setattr(cpu, "memory_limit", lambda: limit)
    monkeypatch.setattr(cpu, "_started", lambda count: count)
    cpu.limit_library_threads()
    assert environment.get("OPENBLAS_NUM_THREADS") == threads


@pytest.mark.parametrize(
    ("name", "limit", "left", "limited"),
    [
        ("RLIMIT_NPROC", -1, None, False),
        ("RLIMIT_NPROC", 1006, None, False),
        ("RLIMIT_NPROC", 1005, None, True),
        ("RLIMIT_NPROC", -1, 6, False),
        ("RLIMIT_NPROC", -1, 5, True),
        ("RLIMIT_AS", 2**40, None, True),
        ("RLIMIT_DATA", 2**40, None, True),
    ],
)
def test_threads_are_tried_only_where_a_limit_may_keep_them_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, limit: int, left: int | None, limited: bool
) -> None:
    load = tmp_path / "loadavg"
    load.write_text("1.19 0.79 0.37 3/1000 5683\n")
    monkeypatch.setattr(cpu, "LOAD", load)
    monkeypatch.setattr(cpu, "threads_left", lambda: left)
    limits = {getattr(resource, name): limit}
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limits.get(which, -1), -1))
    assert cpu._may_be_limited(6) == limited


@pytest.mark.skipif(
    os.geteuid() != 0 or not (shutil.which("setpriv") and shutil.which("prlimit")),
    reason="the limit needs a user without processes, and so root, setpriv and prlimit (util-linux)",
)
def test_a_command_without_any_thread() -> None:
    capabilities = "-all,+dac_override,+dac_read_search"
    user = ["setpriv", "--reuid=48211", "--clear-groups", f"--inh-caps={capabilities}"]
    limited = [*user, f"--ambient-caps={capabilities}", "prlimit", "--nproc=1"]
    script = "from wsi_embed.util import cpu; print(cpu.startable_threads(8), cpu._started(8))"
    done = subprocess.run(
        [*limited, sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    if "Operation not permitted" in done.stderr:
        pytest.skip("the container has not the capabilities that the limit needs")
    assert (done.stdout, done.stderr) == ("1 0\n", "")


def test_a_limit_on_memory_is_one_line() -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (300 * 2**20, 300 * 2**20))

    command = [sys.executable, "-m", "wsi_embed", "info", "f.svs"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, preexec_fn=limited
    )
    assert done.returncode != 0
    assert done.stderr == "error: not enough memory to load a library; raise the limit (ulimit -v)\n"


# A job in which no thread of Zarr can be started.
_WITHOUT_ZARR = """
import sys, threading
from wsi_embed.cli import main

class Thread(threading.Thread):
    def start(self):
        if self.name == "zarr_io":
            raise RuntimeError("can't start new thread")
        super().start()

threading.Thread = Thread
main()
"""


def test_without_a_thread_for_zarr_a_job_ends(tmp_path: Path) -> None:
    slides, model = make_slides(tmp_path / "slides", count=2, side=200), make_model(tmp_path)
    job = ["embed", str(slides), "--out", str(tmp_path / "f.zarr"), "--model", str(model), "--device", "cpu"]
    command = [sys.executable, "-c", _WITHOUT_ZARR, *job]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: the limit on threads is reached; raise it")
