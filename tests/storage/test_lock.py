"""Locks of slides: within a process, against a real second process, and where there are none."""

from __future__ import annotations

import errno
import fcntl
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.job_tools import hold
from wsi_embed.storage.lock import has_locks, slide_lock

linux = pytest.mark.skipif(sys.platform != "linux", reason="open file description locks are Linux's")


@pytest.fixture
def document(tmp_path: Path) -> Path:
    (tmp_path / "zarr.json").write_text("{}")
    return tmp_path / "zarr.json"


@linux
def test_reading_the_root_does_not_free_a_lock(document: Path) -> None:
    with slide_lock(document, "a") as mine:
        document.read_text()
        with slide_lock(document, "a") as again, slide_lock(document, "b") as other:
            assert (mine, again, other) == (True, False, True)


def test_a_lock_ends_with_its_block(document: Path) -> None:
    for _ in range(2):
        with slide_lock(document, "a") as mine:
            assert mine


@linux
def test_the_kernel_frees_a_lock_with_its_owner(document: Path) -> None:
    with hold(document, "a") as other:
        with slide_lock(document, "a") as mine:
            assert not mine
        other.kill()
    with slide_lock(document, "a") as mine:
        assert mine


@linux
def test_two_slides_with_one_byte_wait_for_each_other(document: Path) -> None:
    """Two words with the same crc32: they are kept apart more than needed, never less."""
    with slide_lock(document, "plumless") as first, slide_lock(document, "buckeroo") as second:
        assert (first, second) == (True, False)


@linux
def test_a_file_system_has_locks_or_not(document: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert has_locks(document)
    assert not has_locks(document.with_name("nothing"))

    def refuse(*args: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    assert not has_locks(document)
    with slide_lock(document, "a") as first, slide_lock(document, "a") as second:
        assert (first, second) == (True, True)
