"""Processing of one slide: read, encode and write concurrently, in bounded memory.

reader threads -> batches in row order -> encoder -> shard buffer -> store
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any, Literal

from wsi_embed.encoder import Encoded, EncoderPool
from wsi_embed.errors import SlideError, Stopped
from wsi_embed.grid import TileGrid
from wsi_embed.jobs.seconds import Seconds
from wsi_embed.quality.tiles import TileQuality
from wsi_embed.slide import Slide, UInt8Array
from wsi_embed.slide.stream import TileStream
from wsi_embed.store import SlideWriter

BadTile = Literal["fail", "white"]
_Read = tuple[UInt8Array, list[int], float]


def stream_slide(
    slide: Slide,
    grid: TileGrid,
    encoders: EncoderPool,
    writer: SlideWriter,
    *,
    batch_size: int,
    readers: ThreadPoolExecutor,
    in_flight: int,
    seconds: Seconds,
    stop: threading.Event,
    on_tiles: Callable[[int], None],
    on_bad_tile: BadTile = "fail",
    quality: TileQuality | None = None,
    all_submitted: Callable[[], None] = lambda: None,
) -> list[int]:
    """Read a slide's tiles in threads, encode them in batches in row order, and append them to the writer.

    At most `in_flight` batches exist at any time. The result does not depend on which thread reads or encodes
    a batch: batches are formed by row and appended in order. Threads share decoded data.

    Args:
        slide: Open slide.
        grid: Tiles of the slide.
        encoders: Model.
        writer: Writer of the slide's group.
        batch_size: Number of tiles per batch.
        readers: Pool of reader threads.
        in_flight: Largest number of batches at a time.
        seconds: Object to which the time spent is added.
        stop: Event that stops the processing.
        on_tiles: Callback with the number of tiles of each encoded batch.
        on_bad_tile: Handling of a tile that cannot be read: `fail`, or take it as `white`.
        quality: Object that measures the quality of the tiles by the way; None for no measurement.
        all_submitted: Callback when all batches are submitted to `readers`, which may then start another
            slide.

    Returns:
        Rows of the tiles that were taken as white.

    Raises:
        SlideError: If a tile cannot be read, or a feature is not finite.
        StoreError: If the store cannot be written.
        Stopped: If `stop` is set.
    """
    bad: list[int] = []
    starts = deque(range(0, len(grid), batch_size))
    size = min(batch_size, len(grid))
    buffers = [encoders.buffer((size, grid.tile_px, grid.tile_px, 3)) for _ in range(in_flight)]
    reading: deque[tuple[UInt8Array, Future[_Read]]] = deque()
    encoding: deque[tuple[UInt8Array, Future[tuple[Encoded, float]]]] = deque()
    writing: deque[Future[float]] = deque()
    with slide.stream(grid) as tiles, ThreadPoolExecutor(1, "wsi-embed-write") as write:
        read_batch = partial(_read_batch, tiles, on_bad_tile, quality)
        try:
            while starts or reading or encoding:
                while starts and buffers:
                    start, buffer = starts.popleft(), buffers.pop()
                    batch = buffer[: len(grid) - start]
                    reading.append((buffer, readers.submit(read_batch, start, batch)))
                if not starts:
                    all_submitted()
                if stop.is_set():
                    raise Stopped("stopped")
                if reading and len(encoding) <= encoders.size:  # one batch per encoder, and one in reserve
                    buffer, read = reading.popleft()
                    batch, white, spent = read.result()
                    bad += white
                    seconds.read += spent
                    encoding.append((buffer, encoders.submit(batch)))
                    continue
                buffer, future = encoding.popleft()
                encoded, spent = future.result()
                seconds.encode += spent
                buffers.append(buffer)
                writing.append(write.submit(_append, writer, encoded))
                while len(writing) > 2:
                    seconds.write += writing.popleft().result()
                on_tiles(len(encoded.features))
            seconds.write += sum(f.result() for f in writing)
        finally:
            # no thread may still use the slide when it is closed
            left: list[Future[Any]] = [read for _, read in reading]
            left += [encoded for _, encoded in encoding]
            for each in left:
                each.cancel()
            wait(left)
    return bad


def _read_batch(
    tiles: TileStream, on_bad_tile: BadTile, quality: TileQuality | None, start: int, batch: UInt8Array
) -> _Read:
    """Read and measure the rows from `start` on; return them, those taken as white, and the seconds spent."""
    began = time.perf_counter()
    white = []
    for row, tile in enumerate(batch, start):
        try:
            tiles.read(row, tile)
        except SlideError:
            if on_bad_tile == "fail":
                raise
            tile[:] = 255
            white.append(row)
    if quality is not None:
        quality.measure(start, batch)
    return batch, white, time.perf_counter() - began


def _append(writer: SlideWriter, encoded: Encoded) -> float:
    began = time.perf_counter()
    writer.append(encoded)
    return time.perf_counter() - began
