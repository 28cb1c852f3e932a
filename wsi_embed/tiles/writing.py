"""One slide: read, encode and write its tiles, in threads, in bounded memory."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

import numpy as np

from wsi_embed.errors import Stopped
from wsi_embed.grid import TileGrid
from wsi_embed.jobs.seconds import Seconds
from wsi_embed.slide import Slide
from wsi_embed.slide.stream import TileStream
from wsi_embed.tiles.folder import SlideFolder
from wsi_embed.tiles.settings import TileSettings

# One thread's share at a time. Each tile is written before the next is read: it costs no memory.
SHARE = 16


def write_tiles(
    slide: Slide,
    grid: TileGrid,
    names: Sequence[str],
    folder: SlideFolder,
    settings: TileSettings,
    *,
    readers: ThreadPoolExecutor,
    in_flight: int,
    seconds: Seconds,
    stop: threading.Event,
    on_tiles: Callable[[int], None],
    all_asked: Callable[[], None] = lambda: None,
) -> None:
    """Write a slide's tiles as image files.

    Every thread reads, encodes and writes its own share: all three release the GIL, and files need no
    order. Pixels are those that an encoder would be given.

    Args:
        slide: The open slide.
        grid: Its tiles.
        names: Of the files, one a tile.
        folder: Takes them.
        settings: As what.
        readers: Threads.
        in_flight: Most shares at a time.
        seconds: Time spent is added here.
        stop: Set it to stop.
        on_tiles: Called with the number of tiles of every share that is written.
        all_asked: Called when all shares are given to `readers`: they can begin with another slide.

    Raises:
        SlideError: If a tile cannot be read.
        StoreError: If a file cannot be written.
        Stopped: `stop` was set.
    """
    shares = deque(range(len(grid))[i : i + SHARE] for i in range(0, len(grid), SHARE))
    pending: deque[Future[tuple[int, Seconds]]] = deque()
    with slide.stream(grid) as tiles:
        try:
            while shares or pending:
                while shares and len(pending) < in_flight:
                    share = shares.popleft()
                    pending.append(readers.submit(_write_share, tiles, share, names, folder, settings, stop))
                if not shares:
                    all_asked()
                if stop.is_set():
                    raise Stopped("stopped")
                count, spent = pending.popleft().result()
                seconds.add(spent)
                on_tiles(count)
        finally:
            # nobody may still be reading when the slide is closed
            for future in pending:
                future.cancel()
            wait(pending)


def _write_share(
    tiles: TileStream,
    rows: range,
    names: Sequence[str],
    folder: SlideFolder,
    settings: TileSettings,
    stop: threading.Event,
) -> tuple[int, Seconds]:
    """Write some tiles, one after the other; how many, and the seconds spent."""
    spent, mark = Seconds(), time.perf_counter()
    tile = np.empty((settings.tile_px, settings.tile_px, 3), np.uint8)
    for row in rows:
        tiles.read(row, tile)
        read = time.perf_counter()
        encoded = settings.encode(tile)
        done = time.perf_counter()
        folder.add(names[row], encoded)
        spent.read += read - mark
        spent.encode += done - read
        mark = time.perf_counter()
        spent.write += mark - done
        if stop.is_set():
            raise Stopped("stopped")
    return len(rows), spent
