"""One slide: read, encode and write, overlapped, in bounded memory.

reader threads -> batches in row order -> encoder -> shard buffer -> store
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np

from wsi_embed.encoder import Encoded, Encoder
from wsi_embed.errors import Stopped
from wsi_embed.grid import TileGrid
from wsi_embed.slide import Slide, UInt8Array
from wsi_embed.store import SlideWriter


@dataclass
class Seconds:
    """Time spent by stage. Stages overlap, so they do not add up to the time on the wall."""

    tissue: float = 0.0
    read: float = 0.0
    encode: float = 0.0
    write: float = 0.0


def stream_slide(
    slide: Slide,
    grid: TileGrid,
    encoder: Encoder,
    writer: SlideWriter,
    *,
    batch_size: int,
    readers: ThreadPoolExecutor,
    in_flight: int,
    seconds: Seconds,
    stop: threading.Event,
    on_tiles: Callable[[int], None],
) -> None:
    """Read a slide's tiles in `readers`, encode them batch by batch in row order, append them.

    At most `in_flight` batches exist at any time. Which thread reads what never shows in the
    result: batches are formed by row and encoded in order.

    Raises:
        SlideError: A tile cannot be read, or a feature is not finite.
        StoreError: The store cannot be written.
        Stopped: `stop` was set.
    """
    starts = deque(range(0, len(grid), batch_size))
    size = min(batch_size, len(grid))
    buffers = [np.empty((size, grid.tile_px, grid.tile_px, 3), np.uint8) for _ in range(in_flight)]
    pending: deque[tuple[UInt8Array, Future[tuple[UInt8Array, float]]]] = deque()
    with ThreadPoolExecutor(1, "wsi-embed-write") as write:
        writing: deque[Future[float]] = deque()
        try:
            while starts or pending:
                while starts and buffers:
                    start = starts.popleft()
                    buffer = buffers.pop()
                    part = grid.rows(start, start + batch_size)
                    pending.append((buffer, readers.submit(_read_batch, slide, part, buffer)))
                if stop.is_set():
                    raise Stopped("stopped")
                buffer, future = pending.popleft()
                batch, spent = future.result()
                seconds.read += spent
                began = time.perf_counter()
                encoded = encoder.encode(batch)
                seconds.encode += time.perf_counter() - began
                buffers.append(buffer)
                writing.append(write.submit(_append, writer, encoded))
                while len(writing) > 2:
                    seconds.write += writing.popleft().result()
                on_tiles(len(batch))
            seconds.write += sum(f.result() for f in writing)
        finally:
            # nobody may still be reading when the slide is closed
            for _, future in pending:
                future.cancel()
            wait([future for _, future in pending])


def _read_batch(slide: Slide, part: TileGrid, buffer: UInt8Array) -> tuple[UInt8Array, float]:
    began = time.perf_counter()
    batch = buffer[: len(part)]
    for row, tile in slide.read_tiles(part):
        batch[row] = tile
    return batch, time.perf_counter() - began


def _append(writer: SlideWriter, encoded: Encoded) -> float:
    began = time.perf_counter()
    writer.append(encoded)
    return time.perf_counter() - began
