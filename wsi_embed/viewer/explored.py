"""Results that a viewer computes once for each store: search, tiles of clusters, maps of tiles."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from wsi_embed.bags.damage import sound_bags
from wsi_embed.errors import WsiEmbedError
from wsi_embed.explore.feature_table import OnProgress
from wsi_embed.explore.similar import TileSearch
from wsi_embed.explore.tile_map import TileMap, map_tiles
from wsi_embed.plot.typical_tiles import Cluster, find_typical
from wsi_embed.viewer.map_labels import MapLabels, map_labels
from wsi_embed.viewer.shown_store import ShownStore

T = TypeVar("T")
# Tiles of each kind on the sheet of a cluster.
TILES = 12
# Time after which a result that another one needs is asked for again, seconds.
WAIT = 1.0


class Once(Generic[T]):
    """Result about a store, of a function that runs in a thread of its own from the first question on.

    Args:
        function: The function.
        shown: The store.

    Attributes:
        done: Number of parts that are done, and of all parts, as far as the function reports them.
    """

    def __init__(self, function: Callable[[OnProgress], T], shown: ShownStore) -> None:
        self._function, self._shown = function, shown
        self._states: dict[str, list[int]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._result: T | None = None
        self._error: WsiEmbedError | None = None
        self.done = (0, 0)

    def get(self, wait: float) -> T | None:
        """Return the result; None if it is not there in time.

        Args:
            wait: Longest time to wait, seconds.

        Raises:
            WsiEmbedError: If the function raised it. The next question runs the function again.
        """
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="wsi-embed view", daemon=True)
                self._thread.start()
            thread = self._thread
        thread.join(wait)
        with self._lock:
            error, self._error = self._error, None
            if error is not None:
                self._thread = None
                raise error
            return self._result

    def is_outdated(self, slide_ids: Iterable[str]) -> bool:
        """Return whether one of some slides was added, replaced or removed since the function ran.

        If so, the next question runs the function again.
        """
        with self._lock:
            states = self._states
        ids = sorted(set(slide_ids))
        now = self._shown.store.place.map(self._shown.state, ids)
        if all(state == states.get(slide_id) for slide_id, state in zip(ids, now, strict=True)):
            return False
        with self._lock:
            if self._states is states:
                self._thread, self._result, self.done = None, None, (0, 0)
        return True

    def _run(self) -> None:
        try:
            states = {row.slide_id: row.document for row in self._shown.store.rows()}
            result = self._function(self._report)
        except WsiEmbedError as error:
            with self._lock:
                self._error = error
        except Exception as error:
            with self._lock:
                self._error = WsiEmbedError(f"unexpected {type(error).__name__}: {error}")
        else:
            with self._lock:
                self._result, self._states = result, states

    def _report(self, done: int, count: int) -> None:
        self.done = (done, count)


class Explored:
    """Results of one store, each computed when it is first needed.

    Args:
        shown: The store.
        cache: Folder for the files of the search; see `TileSearch`.

    Attributes:
        search: Search for similar tiles.
        sheet: Typical and atypical tiles of each cluster.
    """

    def __init__(self, shown: ShownStore, cache: Path | None = None) -> None:
        self._shown = shown
        store = shown.store
        self.search: Once[TileSearch] = Once(
            lambda report: TileSearch(store, cache=cache, on_progress=report), shown
        )
        self.sheet: Once[list[Cluster]] = Once(lambda report: self._sheet(), shown)
        self._maps: dict[str, Once[TileMap]] = {}
        self._labels: dict[str, Once[MapLabels]] = {}
        self._lock = threading.Lock()

    def map(self, method: str) -> Once[TileMap]:
        """Return the map of the tiles by a method."""
        store = self._shown.store
        with self._lock:
            return self._maps.setdefault(method, Once(lambda report: map_tiles(store, method), self._shown))

    def labels(self, method: str) -> Once[MapLabels]:
        """Return the annotated classes of the tiles of a map."""
        with self._lock:
            return self._labels.setdefault(method, Once(partial(self._find_labels, method), self._shown))

    def _find_labels(self, method: str, report: OnProgress) -> MapLabels:
        while (found := self.map(method).get(WAIT)) is None:
            pass
        return map_labels(self._shown, found, report)

    def _sheet(self) -> list[Cluster]:
        bags, _ = sound_bags(self._shown.store, self._shown.store)
        # damaged slides are left out; the list of slides shows the damage
        return find_typical(bags, set(bags), TILES, lambda slide_id, error: None, atypical=TILES)[0]
