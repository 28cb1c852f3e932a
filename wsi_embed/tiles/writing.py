"""Processing of one slide: read, encode and write its tiles in threads, in bounded memory."""

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

# Tiles per task. Each tile is written before the next is read, so that a larger task needs no more memory.
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
    all_submitted: Callable[[], None] = lambda: None,
) -> None:
    """Write a slide's tiles as image files.

    Every thread reads, encodes and writes its own tiles: all three release the GIL, and files need no order.
    The pixels are those that an encoder would receive.

    Args:
        slide: Open slide.
        grid: Tiles of the slide.
        names: Name of each tile's file.
        folder: Writer of the slide's folder.
        settings: Image format.
        readers: Pool of threads.
        in_flight: Largest number of tasks at a time.
        seconds: Object to which the time spent is added.
        stop: Event that stops the processing.
        on_tiles: Callback with the number of tiles of each finished task.
        all_submitted: Callback when all tasks are submitted to `readers`, which may then start another slide.

    Raises:
        SlideError: If a tile cannot be read.
        StoreError: If a file cannot be written.
        Stopped: If `stop` is set.
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
                    all_submitted()
                if stop.is_set():
                    raise Stopped("stopped")
                count, spent = pending.popleft().result()
                seconds.add(spent)
                on_tiles(count)
        finally:
            # no thread may still use the slide when it is closed
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
    """Write some tiles one after the other; return their number and the seconds spent."""
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
