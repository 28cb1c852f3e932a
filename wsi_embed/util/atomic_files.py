"""Atomic file writes: a file appears complete or not at all."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import re
import shutil
import sys
import time
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path


def _host() -> str:
    """Return a mark of this machine and of its namespace of process ids: a container has its own."""
    namespace = ""
    with contextlib.suppress(OSError):
        namespace = os.readlink("/proc/self/ns/pid")
    return f"{zlib.crc32(f'{platform.node()} {namespace}'.encode()):08x}"


# Marks of this process in the names of temporary files: machine, process, and a number for each run of it.
HOST = _host()
RUN = uuid.uuid4().hex[:4]
TEMPORARY = re.compile(r"\.([0-9a-f]{8})-(\d+)-([0-9a-f]{4})[0-9a-f]{8}\.")
# Age at which a temporary file of another machine counts as left behind, seconds.
OLD = 24 * 3600
# Suffix of the temporary files of `create`; a killed process may leave one behind.
PARTIAL = ".partial"


@functools.lru_cache(maxsize=1024)
def sweep(folder: Path) -> None:
    """Remove temporary files and folders of killed processes from a folder; once a folder and process."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            mark = TEMPORARY.search(entry.name)
            if mark and _is_left(entry, mark[1], int(mark[2]), mark[3]):
                _remove(Path(entry.path))


def _is_left(entry: os.DirEntry[str], host: str, process: int, run: str) -> bool:
    """Tell whether a temporary file is of a process that has ended."""
    if host != HOST:
        return time.time() - entry.stat().st_mtime > OLD
    if process == os.getpid():
        return run != RUN
    if sys.platform == "win32":  # where `os.kill` would end the process
        return time.time() - entry.stat().st_mtime > OLD
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:  # a process of another user
        return False
    return False


def _remove(path: Path) -> None:
    """Remove a file or folder, if possible."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def _mark() -> str:
    return f".{HOST}-{os.getpid()}-{RUN}{uuid.uuid4().hex[:8]}."


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which replaces `path` when the block ends.

    The temporary file is hidden and keeps the suffix of `path`. After an error it is removed, and a file that
    existed at `path` is unchanged. Those that killed processes left in the folder are removed.

    Raises:
        OSError: If the file cannot be renamed.
    """
    sweep(path.parent)
    temporary = path.with_name(f"{_mark()}{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        _remove(temporary)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, which replaces `path` when the block ends; see `replacing`.

    For a moment there is no folder at `path`, if there was one.

    Raises:
        OSError: If the folder cannot be made or renamed.
    """
    sweep(path.parent)
    temporary = path.with_name(f"{_mark()}{path.name}")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if path.exists():
            shutil.rmtree(path)
        temporary.rename(path)
    finally:
        _remove(temporary)


def create(path: Path, text: str) -> None:
    """Create a text file atomically, unless it exists: an existing file is never replaced.

    Raises:
        OSError: If the file cannot be written.
    """
    sweep(path.parent)
    partial = path.with_name(f"{path.name}{_mark()[:-1]}{PARTIAL}")
    try:
        partial.write_text(text, "utf-8")
        try:
            os.link(partial, path)  # unlike a rename, never replaces another process's file
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            if not path.exists():
                partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
