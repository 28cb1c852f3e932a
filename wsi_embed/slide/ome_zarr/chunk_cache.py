"""Decoded chunks of open slides, the most recently used ones."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

from wsi_embed.slide.base import UInt8Array


class ChunkCache:
    """Decoded chunks of all slides of a process that share it. Safe to use from several threads.

    Args:
        limit: Largest total size, bytes. The last chunk is kept in any case.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._used = limit, 0
        self._kept: OrderedDict[tuple[Hashable, int], UInt8Array] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, level: Hashable, chunk: int, decode: Callable[[], UInt8Array]) -> UInt8Array:
        """Return a chunk, which must not be written to.

        Args:
            level: Level of an open slide.
            chunk: Number of the chunk in the level.
            decode: Function that decodes the chunk if it is not there.
        """
        key = level, chunk
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        pixels = decode()  # two threads may decode the same chunk: nobody waits
        with self._lock:
            if key not in self._kept:
                self._kept[key] = pixels
                self._used += pixels.nbytes
            while self._used > self._limit and len(self._kept) > 1:
                self._used -= self._kept.popitem(last=False)[1].nbytes
        return pixels

    def forget(self, level: Hashable) -> None:
        """Remove the chunks of a level."""
        with self._lock:
            for key in [key for key in self._kept if key[0] is level]:
                self._used -= self._kept.pop(key).nbytes


# As much as OpenSlide has for several slides. Jobs keep a row of tiles besides: `DecodeOnce`.
CACHE = ChunkCache(64 * 1024 * 1024)
