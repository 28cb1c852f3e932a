"""Atomic writes, and what killed processes leave of them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from wsi_embed.util import atomic_files
from wsi_embed.util.atomic_files import create, replacing, replacing_folder, sweep

KILLED = """
import os, signal, sys
from pathlib import Path
from wsi_embed.util.atomic_files import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def _fresh() -> None:
    sweep.cache_clear()


def leave(path: Path) -> Path:
    """A temporary file of a process that was killed while it wrote `path`."""
    done = subprocess.run([sys.executable, "-c", KILLED, path], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = (p for p in path.parent.iterdir() if p.name.startswith("."))
    return left


def test_a_file_is_replaced_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert (temporary.parent, temporary.suffix, path.read_text()) == (tmp_path, ".json", "old")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.json", "new")]


def test_nothing_is_left_after_an_error(tmp_path: Path) -> None:
    with contextlib.suppress(ValueError), replacing(tmp_path / "a.json") as temporary:
        temporary.write_text("half")
        raise ValueError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", ["replacing", "create"])
def test_the_next_run_removes_what_a_killed_one_left(tmp_path: Path, write: str) -> None:
    left = leave(tmp_path / "a.json")
    assert left.read_text() == "half"
    if write == "create":
        create(tmp_path / "b.json", "{}")
    else:
        with replacing(tmp_path / "b.json") as temporary:
            temporary.write_text("{}")
    assert [p.name for p in tmp_path.iterdir()] == ["b.json"]


def test_a_folder_is_replaced_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").touch()
    with replacing_folder(tmp_path / "a") as temporary:
        (temporary / "new").touch()
        assert (tmp_path / "a" / "old").exists()
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")] == ["a", "a/new"]
    with contextlib.suppress(ValueError), replacing_folder(tmp_path / "a") as temporary:
        raise ValueError
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")] == ["a", "a/new"]


def test_a_folder_that_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    left = leave(tmp_path / "a.json")
    left.unlink()
    left.mkdir()
    (left / "half").touch()
    with replacing_folder(tmp_path / "b"):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_files_of_processes_that_run_are_kept(tmp_path: Path) -> None:
    waiting = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    name = f".{atomic_files.HOST}-{waiting.pid}-0123{'0' * 8}.a.json"
    (tmp_path / name).touch()
    sweep(tmp_path)
    assert (tmp_path / name).exists()
    waiting.communicate(b"\n")
    sweep.cache_clear()
    sweep(tmp_path)
    assert not (tmp_path / name).exists()


def test_files_of_another_run_with_this_number_are_removed(tmp_path: Path) -> None:
    """In a container every run may have the same process number."""
    host, process = atomic_files.HOST, os.getpid()
    other = "0000" if atomic_files.RUN != "0000" else "0001"
    names = [f".{host}-{process}-{run}{'0' * 8}.a.json" for run in (atomic_files.RUN, other)]
    for name in names:
        (tmp_path / name).touch()
    sweep(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == names[:1]


def test_files_of_another_machine_are_removed_after_a_day(tmp_path: Path) -> None:
    host = "00000000" if atomic_files.HOST != "00000000" else "11111111"
    new, old = (tmp_path / f".{host}-{n}-0123{'0' * 8}.a.json" for n in (1, 2))
    new.touch()
    old.touch()
    os.utime(old, (0, 0))
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [new]


@pytest.mark.parametrize("name", [".hidden", ".0123-a.json", "a.json", ".DS_Store", ".last.ckpt.part"])
def test_other_files_are_kept(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    sweep(tmp_path)
    assert (tmp_path / name).exists()
