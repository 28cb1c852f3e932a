"""Number of tiles of each cluster in a store, counted in the background."""

from __future__ import annotations

import threading
from collections import Counter

from wsi_embed.errors import WsiEmbedError
from wsi_embed.store import Store


class StoreShares:
    """Counter of the clusters of a store, which starts at the first question and does not keep it waiting.

    Args:
        store: The store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._counts: Counter[int] = Counter()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._complete = store.clusters is None

    def counts(self, wait: float = 0) -> tuple[Counter[int], bool]:
        """Return the number of tiles of each cluster so far, and whether all slides are counted.

        Args:
            wait: Time to wait for the rest, seconds.
        """
        with self._lock:
            if self._thread is None and not self._complete:
                self._thread = threading.Thread(target=self._count, name="cluster shares", daemon=True)
                self._thread.start()
        if self._thread is not None:
            self._thread.join(wait)
        with self._lock:
            return self._counts.copy(), self._complete

    def _count(self) -> None:
        for slide_id in self._store:
            try:
                bag = self._store[slide_id]
                found = Counter(bag.cluster[:].tolist() if bag.cluster is not None else [])
            except (WsiEmbedError, KeyError, OSError):  # damaged: the list of slides says so
                continue
            with self._lock:
                self._counts += found
        with self._lock:
            self._complete = True
