"""Cache of encoded pictures with a limit of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable


class ByteCache:
    """Values by key, of which the least recently used are dropped. Safe to use from several threads.

    Args:
        most: Largest total size of the values, bytes.
    """

    def __init__(self, most: int) -> None:
        self._most, self._size = most, 0
        self._values: OrderedDict[Hashable, bytes] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Total size of the values, bytes."""
        return self._size

    def get(self, key: Hashable) -> bytes | None:
        """Return a value, or None."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Hashable, value: bytes) -> None:
        """Add a value; values larger than the whole cache are not kept."""
        if len(value) > self._most:
            return
        with self._lock:
            self._size += len(value) - len(self._values.pop(key, b""))
            self._values[key] = value
            while self._size > self._most:
                self._size -= len(self._values.popitem(last=False)[1])
