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
    """Handle that is shared by all threads, and replaced after an error.

    An error sticks to an OpenSlide handle: all later reads from it fail, in every thread. Without
    replacement, one corrupt tile would make the whole slide unreadable.

    Args:
        path: Slide file.

    Raises:
        openslide.OpenSlideError: If the slide cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._cache: openslide.OpenSlideCache | None = None
        self._current = _Handle(openslide.OpenSlide(path))
        self._closed = False

    def share_cache(self, cache: openslide.OpenSlideCache) -> None:
        """Use a tile cache that is shared with other slides, instead of one of 32 MB for this slide."""
        with self._lock:
            self._cache = cache
            self._current.osr.set_cache(cache)

    @contextmanager
    def use(self) -> Iterator[openslide.OpenSlide]:
        """Yield the shared handle. An OpenSlideError in the block retires it, and its last user closes it.

        Raises:
            openslide.OpenSlideError: If raised in the block, or the slide cannot be opened again.
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
        """Yield a new handle, which no other thread uses.

        Raises:
            openslide.OpenSlideError: If the slide cannot be opened.
        """
        osr = openslide.OpenSlide(self._path)
        try:
            yield osr
        finally:
            osr.close()

    def close(self) -> None:
        """Close the shared handle. May be called several times."""
        with self._lock:
            if not self._closed:  # OpenSlide itself must be closed only once
                self._closed = True
                self._current.osr.close()
