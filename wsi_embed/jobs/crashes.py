"""Record of slides that were in work when a fatal signal ended the process, so that none does it for ever.

Libraries that decode slides end the process on some malformed files: no Python exception, no result. The
record is a file for each process in a hidden folder of the output. It lists when slides begin and end, and
Python's fault handler adds what it knows when the process dies.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from wsi_embed.errors import SlideError
from wsi_embed.inputs.slides import SlideInput

FOLDER = ".wsi-embed-crashes"
FATAL = re.compile(rb"^Fatal Python error: (.*)$", re.MULTILINE)
MOST = 2  # times that a slide may end the process


class CrashRecord:
    """Record of one job in this process.

    Args:
        out: Local folder of the output.

    Attributes:
        counts: Number of earlier processes that each slide ended, by slide id and version of its file.
    """

    def __init__(self, out: Path) -> None:
        self._folder = out / FOLDER
        self._file: IO[bytes] | None = None
        self._lock = threading.Lock()
        self.counts = Counter(slide for file in self._records() for slide in _in_work(file))

    def suspects(self, items: list[SlideInput]) -> list[SlideInput]:
        """Return the slides that were in work when an earlier process ended."""
        return [item for item in items if self.counts[_version(item)]] if self.counts else []

    @contextlib.contextmanager
    def in_work(self, item: SlideInput) -> Iterator[None]:
        """Record that a slide is in work until the context is left.

        Raises:
            SlideError: If it ended earlier processes `MOST` times.
        """
        version = _version(item)
        if self.counts[version] >= MOST:
            raise SlideError(
                f"it ended the process {self.counts[version]} times, so it is not read again",
                where=item.name,
                remedy=f"replace it by a whole copy, or delete {FOLDER} in the output to try once more",
            )
        self._write(b"begin", version)
        try:
            yield
        finally:
            self._write(b"end", version)

    def close(self) -> None:
        """Remove the file of this process: it ends in good order."""
        with self._lock:
            if self._file is not None:
                faulthandler.disable()
                self._file.close()
                Path(self._file.name).unlink(missing_ok=True)
                self._file = None
            with contextlib.suppress(OSError):  # others have records there, or there is no such folder
                self._folder.rmdir()

    def _write(self, word: bytes, version: str) -> None:
        with self._lock, contextlib.suppress(OSError):  # a full disk is no reason to stop
            if self._file is None:
                self._file = self._open()
            if self._file is not None:
                self._file.write(word + b" " + version.encode("utf-8", "backslashreplace") + b"\n")

    def _open(self) -> IO[bytes] | None:
        """Open the file of this process; None if the fault handler is in use, or the output is gone."""
        if faulthandler.is_enabled() or not self._folder.parent.is_dir():
            return None
        self._folder.mkdir(exist_ok=True)
        file = (self._folder / f"{socket.gethostname()}-{os.getpid()}-{time.time_ns()}.txt").open(
            "ab", buffering=0
        )
        faulthandler.enable(file)
        return file

    def _records(self) -> Iterator[bytes]:
        """Yield the records of processes that a fatal signal ended; remove those of others that are gone."""
        for path in sorted(self._folder.glob("*.txt")) if self._folder.is_dir() else ():
            with contextlib.suppress(OSError):
                content = path.read_bytes()
                if FATAL.search(content):
                    yield content
                elif _gone(path.stem):
                    path.unlink()


def _in_work(record: bytes) -> set[str]:
    """Return the slides of a record that had begun and not ended."""
    found: set[str] = set()
    for line in record.decode("utf-8", "replace").splitlines():
        word, _, version = line.partition(" ")
        if word == "begin":
            found.add(version)
        elif word == "end":
            found.discard(version)
    return found


def _version(item: SlideInput) -> str:
    """Return a text that tells slides, and versions of their files, apart."""
    if item.remote is not None:
        return repr(item.slide_id)
    try:
        state = item.path.stat()
    except OSError:
        return repr(item.slide_id)
    return f"{item.slide_id!r} {state.st_size} {state.st_mtime_ns}"


def _gone(stem: str) -> bool:
    """Return whether a record is of a process of this machine that has ended."""
    host, number, _ = stem.rsplit("-", 2) if stem.count("-") >= 2 else ("", "", "")
    if host != socket.gethostname() or not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)
    except OSError as error:
        return isinstance(error, ProcessLookupError)
    return False
