"""OpenSlide handles that survive errors."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import openslide


@dataclass
class _Handle:
    osr: openslide.OpenSlide
    users: int = 0


class Handles:
    """One handle shared by all threads, replaced after an error.

    An error sticks to OpenSlide's handle: whatever is read from it afterwards fails as well, in every
    thread. One corrupt tile would take the whole slide with it.

    Args:
        path: The slide.

    Raises:
        openslide.OpenSlideError: It cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._cache: openslide.OpenSlideCache | None = None
        self._current = _Handle(openslide.OpenSlide(path))
        self._closed = False

    def share_cache(self, cache: openslide.OpenSlideCache) -> None:
        """Keep decoded tiles in a cache that is shared with other slides, not in one of 32 MB of its own."""
        with self._lock:
            self._cache = cache
            self._current.osr.set_cache(cache)

    @contextmanager
    def use(self) -> Iterator[openslide.OpenSlide]:
        """The shared handle; an OpenSlideError inside retires it, and the last user closes it.

        Raises:
            openslide.OpenSlideError: As raised inside, or the slide cannot be opened again.
        """
        with self._lock:
            handle = self._current
            handle.users += 1
        try:
            yield handle.osr
        except openslide.OpenSlideError:
            with self._lock:
                if handle is self._current and not self._closed:
                    self._current = _Handle(openslide.OpenSlide(self._path))
                    if self._cache is not None:
                        self._current.osr.set_cache(self._cache)
            raise
        finally:
            with self._lock:
                handle.users -= 1
                if handle is not self._current and not handle.users:
                    handle.osr.close()

    @contextmanager
    def fresh(self) -> Iterator[openslide.OpenSlide]:
        """A handle of one's own, which no other thread's error has touched.

        Raises:
            openslide.OpenSlideError: It cannot be opened.
        """
        osr = openslide.OpenSlide(self._path)
        try:
            yield osr
        finally:
            osr.close()

    def close(self) -> None:
        """Close the shared handle. Closing twice is fine."""
        with self._lock:
            if not self._closed:  # OpenSlide itself refuses the second time
                self._closed = True
                self._current.osr.close()
