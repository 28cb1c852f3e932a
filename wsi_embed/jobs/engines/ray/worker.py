"""Actor: a process that holds the model and processes slides."""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

import wsi_embed
from wsi_embed.errors import Stopped, UsageError, WsiEmbedError
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.jobs.engines.common import AT_ONCE
from wsi_embed.jobs.job import Job
from wsi_embed.jobs.report import SlideResult
from wsi_embed.jobs.slide_steps import finish_slide, prepare_slide
from wsi_embed.jobs.slide_work import Busy, SlideWork
from wsi_embed.slide.readers import check_reader

# Time between two reports of an actor on a slide's progress, seconds.
PROGRESS_SECONDS = 0.5


@dataclass(frozen=True)
class Started:
    """Event: processing of a slide's tiles starts.

    Attributes:
        tiles: Number of tiles.
    """

    tiles: int


# Events of a slide: its number of tiles; the number of further tiles done; at the end its result, or None if
# another process is writing it.
Event = Started | int | SlideResult | None


@dataclass(frozen=True)
class ShippedJob:
    """Job as it is sent to the actors.

    Attributes:
        version: Version of wsi-embed.
        job: Pickled job.
        folder: Working directory, for relative paths.
        fetches: Whether any slide is remote.
        seen: Sizes and times of some files, to check that a machine sees the same file system.
    """

    version: str
    job: bytes
    folder: Path
    fetches: bool
    seen: dict[Path, tuple[int, int] | None]

    @classmethod
    def pack(cls, job: Job, slides: Sequence[SlideInput]) -> ShippedJob:
        """Pack a job without its slides.

        The lock file and one slide are recorded as files that all machines must see.
        """
        local_paths = (item.path for item in slides if item.remote is None)
        first = next((path for path in local_paths if path.exists()), None)
        files = [path for path in (job.lock_file, first) if path is not None and path.exists()]
        seen = {path: _size_and_time(path) for path in files}
        packed = pickle.dumps(replace(job, slides=[]))
        return cls(wsi_embed.__version__, packed, Path.cwd(), job.fetches, seen)

    def unpack(self) -> Job:
        """Return the job, prepared for this machine.

        Raises:
            WsiEmbedError: If the job cannot run on this machine.
        """
        if self.version != wsi_embed.__version__:
            raise UsageError(f"wsi-embed {wsi_embed.__version__} is installed there, {self.version} here")
        with contextlib.suppress(OSError):  # not needed for absolute paths
            os.chdir(self.folder)
        for path, expected in self.seen.items():
            if _size_and_time(path) != expected:
                raise UsageError(
                    "is not there, or is another file",
                    where=path,
                    remedy="put slides and store on a file system that all machines of the cluster see, at "
                    "the same path",
                )
        job: Job = pickle.loads(self.job)
        check_reader(job.tiling.reader)  # its package must be installed on this machine, too
        return job.in_worker()


def _size_and_time(path: Path) -> tuple[int, int] | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_size, int(about.st_mtime)


class SlideWorker:
    """Actor that processes a job's slides in a process of its own.

    As in the local engine, one slide is read while the last batches of the previous one are encoded and
    written; for this, it must be given two slides at a time.
    """

    def __init__(self, shipped: ShippedJob) -> None:
        self._stop, self._turn, self._before = threading.Event(), threading.Lock(), threading.Event()
        self._before.set()
        self._problem: str | None = None
        try:
            self._job = shipped.unpack()
            if shipped.fetches:
                self._job = replace(self._job, staging=self._job.options.slide_cache().open(self._stop))
        except WsiEmbedError as error:
            self._problem = str(error)
            return
        self._readers = ThreadPoolExecutor(self._job.workers, "wsi-embed-read")
        self._slides = ThreadPoolExecutor(AT_ONCE, "wsi-embed-slide")

    def ready(self) -> tuple[str, str | None]:
        """Return the name of this machine, and the reason why it cannot take slides, or None."""
        return socket.gethostname(), self._problem

    def stop(self) -> None:
        """Drop the slides being processed."""
        self._stop.set()

    def work(self, item: SlideInput) -> Iterator[Event]:
        """Process a slide; the last event is its result, which is missing if the slide was dropped."""
        try:
            prepared = prepare_slide(self._job, item, self._stop)
        except Stopped:
            return
        if not isinstance(prepared, SlideWork):
            yield None if isinstance(prepared, Busy) else prepared
            return
        with self._turn:
            before, self._before = self._before, prepared.all_read
        before.wait()
        yield Started(prepared.result.tiles)
        done: deque[int] = deque()
        future = self._slides.submit(
            finish_slide, self._job, prepared, self._readers, self._stop, done.append
        )
        yield from _progress(future, done)
        with contextlib.suppress(Stopped):
            yield future.result()


def _progress(future: Future[SlideResult], done: deque[int]) -> Iterator[int]:
    """Yield the number of tiles done since the last event, until the slide is finished."""
    while not future.done():
        wait([future], PROGRESS_SECONDS)
        count = 0
        while done:
            count += done.popleft()
        if count:
            yield count
