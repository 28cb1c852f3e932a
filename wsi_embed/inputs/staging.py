"""Local copies of remote slides while they are processed, within a disk limit."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import tempfile
import threading
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

from wsi_embed.errors import RemoteError, SlideError, Stopped, UsageError
from wsi_embed.storage import objects
from wsi_embed.storage.address import Address
from wsi_embed.storage.answers import content_async
from wsi_embed.storage.client import client
from wsi_embed.storage.lock import has_locks, slide_lock
from wsi_embed.storage.objects import RemoteObject
from wsi_embed.storage.redirects import check_redirects, endpoint_of
from wsi_embed.util.text import argument

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ObjectStore

    from wsi_embed.inputs.slides import SlideInput

# One connection to object storage gives 50 to 100 MB/s: large objects are fetched in parallel parts.
PART = 16 * 2**20
PARTS_AT_ONCE = 8
# Of many small objects, such as the chunks of an OME-Zarr, each takes a round trip.
SMALL, SMALL_AT_ONCE = 2**20, 32
_POLL_SECONDS = 0.2
_PREFIX, _LOCK = "wsi-embed-cache-", "lock"


@dataclass(frozen=True)
class Cache:
    """Folder for fetched slides and its size limit.

    Attributes:
        folder: Parent folder; None for the system's temporary folder.
        limit: Largest total size in bytes; None for half of the free disk space.
    """

    folder: Path | None = None
    limit: int | None = None

    @classmethod
    def of(cls, folder: str | Path | None, limit_gb: float | None) -> Cache:
        """Create a cache from the user's options.

        Args:
            folder: Parent folder; None for the system's temporary folder.
            limit_gb: Largest total size in GB; None for half of the free disk space.

        Raises:
            UsageError: If the limit is not positive.
        """
        if limit_gb is not None and not 0 < limit_gb < float("inf"):
            raise UsageError("a number above 0 is expected", where=argument("cache_gb", limit_gb))
        limit = None if limit_gb is None else int(limit_gb * 1e9)
        return cls(Path(folder).absolute() if folder else None, limit)

    def open(self, stop: threading.Event) -> Staging:
        """Create the folder for fetched slides; see `Staging`."""
        return Staging(self.folder, self.limit, stop)


class Staging:
    """Folder for slides while they are processed; each is removed afterwards.

    Each job has a folder of its own within the parent folder, and removes those that killed jobs left behind.

    Args:
        folder: Parent folder; the system's temporary folder by default.
        limit: Largest total size in bytes; half of the free disk space by default.
        stop: Event that ends all waiting.

    Raises:
        UsageError: If the folder cannot be written.
    """

    def __init__(self, folder: Path | None, limit: int | None, stop: threading.Event) -> None:
        folder = folder or Path(tempfile.gettempdir())
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _sweep(folder)
            self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=folder))
            (self._folder / _LOCK).touch()
            self.limit = limit or shutil.disk_usage(folder).free // 2
        except OSError as error:
            raise UsageError(
                f"cannot be written ({error.strerror})",
                where=argument("cache", folder),
                remedy="choose another folder",
            ) from error
        self._locks = contextlib.ExitStack()
        self._locks.enter_context(slide_lock(self._folder / _LOCK, _LOCK))
        self._stop, self._used, self._freed = stop, 0, threading.Condition()
        self._number = itertools.count()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._locks.close()

    @contextlib.contextmanager
    def stage(self, item: SlideInput) -> Iterator[SlideInput]:
        """Fetch a slide with all its files, and remove them when the context is left.

        This waits until the slide fits within the limit. Slides therefore have to be staged one after the
        other, in the order in which they are processed.

        Yields:
            The same slide with its local path.

        Raises:
            SlideError: If there is no such object, it is larger than the limit, or it arrived incomplete.
            RemoteError: If the server cannot be reached, or refuses.
            Stopped: If `stop` is set.
        """
        remote = item.remote
        assert remote is not None, "there is nothing to fetch"
        size, found = remote.size, remote.objects
        if size > (room := shutil.disk_usage(self._folder).free):
            raise SlideError(
                f"{size / 1e9:.3g} GB, and the disk of the cache has {room / 1e9:.3g} GB free",
                where=item.name,
                remedy="use another `cache=`",
            )
        if size > self.limit:
            raise SlideError(
                f"{size / 1e9:.3g} GB, and the cache may hold {self.limit / 1e9:.3g} GB",
                where=item.name,
                remedy="give a larger `cache_gb=`, or another `cache=`",
            )
        with self._room(size):
            folder = self._folder / str(next(self._number))
            try:
                paths = _places(folder, remote.address, found)
                asyncio.run(_fetch_all(item.name, list(zip(found, paths, strict=True)), self._stop))
                staged = replace(item, path=folder / remote.address.name)
                yield staged if remote.roi is None else replace(staged, roi=paths[-1])
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def _room(self, size: int) -> Iterator[None]:
        with self._freed:
            while self._used + size > self.limit:
                if self._stop.is_set():
                    raise Stopped("stopped")
                self._freed.wait(_POLL_SECONDS)
            self._used += size
        try:
            yield
        finally:
            with self._freed:
                self._used -= size
                self._freed.notify_all()


def _sweep(folder: Path) -> None:
    """Remove the folders of killed jobs, whose locks the operating system has released."""
    for left in folder.glob(f"{_PREFIX}*"):
        if has_locks(left / _LOCK):
            with slide_lock(left / _LOCK, _LOCK) as free:
                if free:
                    shutil.rmtree(left, ignore_errors=True)


def _places(folder: Path, first: Address, found: Sequence[RemoteObject]) -> list[Path]:
    """Return the local path of each object, relative to the slide as in object storage."""
    start = f"{first.parent.key}/" if first.parent.key else ""
    paths = []
    for one in found:
        key = one.address.key
        inside = (one.address.host, key[: len(start)]) == (first.host, start)
        relative = PurePosixPath(key[len(start) :] if inside else f"roi/{one.address.name}")
        if ".." in relative.parts or relative.is_absolute():
            raise RemoteError("its key cannot be the name of a file", where=one.address, remedy="rename it")
        paths.append(folder / relative)
    return paths


async def _fetch_all(name: str, wanted: Sequence[tuple[RemoteObject, Path]], stop: threading.Event) -> None:
    fetching = asyncio.gather(*_fetches(wanted))
    try:
        while not fetching.done():
            await asyncio.wait([fetching], timeout=_POLL_SECONDS)
            if stop.is_set():
                raise Stopped("stopped")
        await fetching
    except OSError as error:
        raise SlideError(
            f"cannot be staged ({error.strerror or error})", where=name, remedy="is there room in `cache=`?"
        ) from error
    finally:
        fetching.cancel()
        await asyncio.wait([fetching])


def _fetches(wanted: Sequence[tuple[RemoteObject, Path]]) -> Iterator[Coroutine[None, None, None]]:
    """Yield the tasks that fetch objects. Few files are open at once, however many there are."""
    parts, small = asyncio.Semaphore(PARTS_AT_ONCE), asyncio.Semaphore(SMALL_AT_ONCE)
    files = asyncio.Semaphore(SMALL_AT_ONCE)

    async def fetch(found: RemoteObject, path: Path) -> None:
        async with files:
            await _fetch(found, path, small if found.size <= SMALL else parts)

    for found, path in wanted:
        yield fetch(found, path)


async def _fetch(found: RemoteObject, path: Path, at_once: asyncio.Semaphore) -> None:
    """Fetch one object into a file, and check its size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if found.address.scheme == "s3":
        check_redirects(found.address, endpoint_of())
    store, key = client(found.address), found.address.key
    from obstore.exceptions import NotSupportedError

    try:
        with path.open("wb") as file, objects.remote_errors(found.address):
            try:
                parts = (_fetch_part(store, found, s, file, at_once) for s in range(0, found.size, PART))
                await asyncio.gather(*parts)
            except NotSupportedError:  # the web server has no range requests
                file.seek(0)
                file.truncate()
                async with at_once:
                    async for block in (await store.get_async(key)).stream():
                        file.write(block)
                        if file.tell() > found.size:
                            break  # the answer may have no end
    except FileNotFoundError as error:
        raise SlideError(
            "there is no such object any more", where=found.address, remedy="check the address"
        ) from error
    if (size := path.stat().st_size) != found.size:
        raise SlideError(f"received {size} of {found.size} bytes", where=found.address, remedy="run again")


async def _fetch_part(
    store: ObjectStore, found: RemoteObject, start: int, file: BinaryIO, at_once: asyncio.Semaphore
) -> None:
    stop = min(start + PART, found.size)
    # web servers send weak ETags, which never match
    options: GetOptions = {"if_match": found.etag} if found.address.listed else {}
    if (start, stop) != (0, found.size):
        options["range"] = (start, stop)
    async with at_once:
        answer = await store.get_async(found.address.key, options=options)
        content = await content_async(answer, stop - start, found.address)
        file.seek(start)
        file.write(content)
