"""Open slides, a limited number of them, shared by all requests."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from wsi_embed.errors import SlideError
from wsi_embed.slide import Slide
from wsi_embed.viewer.pyramid import Overview

Stamp = tuple[int, int, int]


@dataclass
class OpenSlide:
    """Open slide with its overview.

    Attributes:
        slide: The slide.
        stamp: State of its file when it was opened.
        overview: Overview for slides without small levels.
        users: Number of requests that read it now.
        retired: Whether it is closed after the last of them.
    """

    slide: Slide
    stamp: Stamp
    overview: Overview = field(default_factory=Overview)
    users: int = 0
    retired: bool = False


class OpenSlides:
    """Slides that stay open between requests; the least recently used are closed.

    Args:
        most: Number of slides that stay open. More are open only while they are being read.
    """

    def __init__(self, most: int = 8) -> None:
        self._most = most
        self._open: dict[Hashable, OpenSlide] = {}
        self._lock = threading.Lock()
        self._opening: dict[Hashable, threading.Lock] = {}

    def __len__(self) -> int:
        return len(self._open)

    @contextlib.contextmanager
    def use(self, key: Hashable, path: Path, open_slide: Callable[[], Slide]) -> Iterator[OpenSlide]:
        """Yield an open slide, which other threads may read at the same time.

        Args:
            key: Key of the slide.
            path: File of the slide; if it has changed, the slide is opened again.
            open_slide: Function that opens it.

        Raises:
            SlideError: If the file is missing or cannot be opened.
        """
        found = self._acquire(key, path, open_slide)
        try:
            yield found
        finally:
            with self._lock:
                found.users -= 1
                closing = self._retire()
                if found.retired and not found.users:
                    closing.append(found)
            for each in closing:
                each.slide.close()

    def close(self) -> None:
        """Close all slides that are not being read."""
        with self._lock:
            unused = [key for key, found in self._open.items() if not found.users]
            closing = [self._open.pop(key) for key in unused]
        for found in closing:
            found.slide.close()

    def _acquire(self, key: Hashable, path: Path, open_slide: Callable[[], Slide]) -> OpenSlide:
        with self._lock:
            opening = self._opening.setdefault(key, threading.Lock())
        with opening:  # of several requests for a slide, the first opens it
            try:
                now = stamp(path)
            except SlideError:
                self._drop(key)
                raise
            with self._lock:
                found = self._open.pop(key, None)
                if found is not None and found.stamp == now:
                    self._open[key] = found  # last in order: most recently used
                    found.users += 1
                    return found
            if found is not None:
                self._retired(found)
            opened = OpenSlide(open_slide(), now, users=1)
            with self._lock:
                self._open[key] = opened
            return opened

    def _drop(self, key: Hashable) -> None:
        with self._lock:
            found = self._open.pop(key, None)
        if found is not None:
            self._retired(found)

    def _retired(self, found: OpenSlide) -> None:
        with self._lock:
            found.retired = True
            unused = not found.users
        if unused:
            found.slide.close()

    def _retire(self) -> list[OpenSlide]:
        """Remove the least recently used slides beyond the limit, except those being read."""
        beyond = len(self._open) - self._most
        unused = [key for key, found in self._open.items() if not found.users]
        return [self._open.pop(key) for key in unused[: max(0, beyond)]]


def stamp(path: Path) -> Stamp:
    """Return inode, size and modification time of a file.

    Raises:
        SlideError: If there is no such file.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise SlideError(
            f"the file is gone or cannot be reached ({error.strerror})",
            where=path,
            remedy="put it back, or start the viewer again with the slide's new folder",
        ) from error
    return found.st_ino, found.st_size, found.st_mtime_ns
