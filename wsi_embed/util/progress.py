"""Progress of long loops of the library, for whoever shows it; without a watcher nothing happens."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


class Watcher:
    """Receiver of progress. Override the methods of interest; the others do nothing.

    Attributes:
        busy: Whether a loop is being reported.
    """

    busy = False

    def started(self, what: str, total: int | None) -> None:
        """Handle the start of a loop.

        Args:
            what: Things and what is done with them, such as `slides verified`.
            total: Number of items; None if it is unknown.
        """

    def advanced(self, count: int) -> None:
        """Handle a number of further items that are done."""

    def ended(self) -> None:
        """Handle the end of the loop."""


_watchers: list[Watcher] = []


@contextlib.contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """Report progress to a watcher within the block."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


def tracked(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """Yield items, and report each when the next one is asked for.

    Of loops within each other only the outermost is reported.

    Args:
        items: Items of the loop.
        what: Things and what is done with them, such as `slides verified`.
        total: Number of items; by default their length if they have one.
    """
    if not _watchers or _watchers[-1].busy:
        yield from items
        return
    watcher = _watchers[-1]
    watcher.busy = True
    watcher.started(what, len(items) if total is None and isinstance(items, Collection) else total)
    try:
        for item in items:
            yield item
            watcher.advanced(1)
    finally:
        watcher.busy = False
        watcher.ended()


@contextlib.contextmanager
def stage(what: str) -> Iterator[None]:
    """Report a stage without steps, such as a call of a library that takes minutes."""
    for _ in tracked((None,), what, total=0):
        yield
