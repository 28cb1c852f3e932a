"""Benchmark of a machine with a model and a slide, and its limiting factor."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from wsi_embed.encoder import EncoderPool
from wsi_embed.errors import UsageError
from wsi_embed.features.job import store_settings
from wsi_embed.features.pipeline import stream_slide
from wsi_embed.grid import TileGrid
from wsi_embed.inputs.slides import find_slides
from wsi_embed.jobs.seconds import Seconds
from wsi_embed.quality.tiles import TileQuality
from wsi_embed.slide import Slide, UInt8Array
from wsi_embed.slide.sample import write_sample_slide
from wsi_embed.store import StoreWriter
from wsi_embed.tiling.plan import SlidePlan, plan_slide
from wsi_embed.tiling.settings import Tiling

# Side of the generated slide, pixels.
SAMPLE_SIDE = 8192
SHARE = 16


@dataclass(frozen=True)
class Bench:
    """Results of a benchmark.

    Attributes:
        slide: Name of the slide.
        reader: Reader of the slide.
        model: Name of the model.
        device: Device of the model.
        readers: Number of reader threads.
        batch_size: Number of tiles in a batch.
        tiles: Number of tiles of the slide.
        decode: Tiles per second for reading only, on all reader threads.
        decode_mb: Megabytes of pixels per second for reading only.
        encode: Tiles per second for encoding only.
        end_to_end: Tiles per second from slide to store.
        ideal: Upper bound of `end_to_end`: reading and encoding share the cores of a CPU; with a GPU, the
            smaller of `decode` and `encode`.
        memory_mb: Peak memory of the process, megabytes.
        added_mb: Increase of the peak memory over that with the model loaded, megabytes.
    """

    slide: str
    reader: str
    model: str
    device: str
    readers: int
    batch_size: int
    tiles: int
    decode: float
    decode_mb: float
    encode: float
    end_to_end: float
    ideal: float
    memory_mb: float
    added_mb: float

    @property
    def ratio(self) -> float:
        """Share of the ideal rate that was reached."""
        return self.end_to_end / self.ideal

    @property
    def limit(self) -> str:
        """Limiting side: `reader` or `encoder`."""
        return "reader" if self.decode < self.encode else "encoder"

    def to_dict(self) -> dict[str, Any]:
        """Return the results as plain values for JSON."""
        values = {k: round(v, 2) if isinstance(v, float) else v for k, v in asdict(self).items()}
        return {**values, "ratio": round(self.ratio, 3), "limit": self.limit}


def run_bench(
    encoders: EncoderPool,
    slide: Path | None = None,
    *,
    tiling: Tiling,
    workers: int,
    batch_size: int,
    seconds: float = 10.0,
) -> Bench:
    """Measure reading, encoding, and both together.

    Args:
        encoders: The loaded model.
        slide: Slide to read; by default one is generated from real tissue.
        tiling: Settings of the tiling.
        workers: Number of reader threads.
        batch_size: Number of tiles in a batch.
        seconds: Approximate duration of each of the three measurements.

    Raises:
        UsageError: If the slide has no tissue.
        SlideError: If the slide cannot be read.
    """
    with TemporaryDirectory() as folder:
        path = slide or write_sample_slide(Path(folder) / "sample.tif", SAMPLE_SIDE)
        plan = plan_slide(find_slides([path])[0], tiling, store_settings(encoders.first, "float16"))
        with plan.slide:
            return _measure(plan, tiling, encoders, Path(folder), workers, batch_size, seconds)


def _measure(
    plan: SlidePlan,
    tiling: Tiling,
    encoders: EncoderPool,
    folder: Path,
    workers: int,
    batch_size: int,
    seconds: float,
) -> Bench:
    grid, _ = plan.make_grid(tiling)
    if not len(grid):
        raise UsageError(
            "no tissue found: nothing to measure",
            where=plan.item.name,
            remedy="`tissue='none'` takes it whole",
        )
    pixels = np.empty((min(batch_size, len(grid)), grid.tile_px, grid.tile_px, 3), np.uint8)
    for row, tile in zip(range(len(pixels)), plan.slide.read_tiles(grid), strict=False):
        pixels[row] = tile[1]
    encode_rate(encoders, pixels, seconds / 5)  # warm-up
    before = peak_memory()
    decode = decode_rate(plan.slide, grid, workers, seconds)
    encode = encode_rate(encoders, pixels, seconds)
    gpu = encoders.first.on_gpu
    ideal = min(decode, encode) if gpu else 1 / (1 / decode + 1 / encode)
    some = grid.rows(0, max(4 * batch_size, round(ideal * seconds)))
    store = StoreWriter(folder / "f.zarr", store_settings(encoders.first, "float16"), encoders.first.metadata)
    whole = whole_rate(plan.slide, some, encoders, store, workers, batch_size)
    return Bench(
        plan.item.name, plan.slide.reader, encoders.first.metadata.name, encoders.where, workers, batch_size,
        len(grid), decode, decode * pixels[0].nbytes / 1e6, encode, whole, ideal,
        peak_memory() / 1e6, (peak_memory() - before) / 1e6,
    )  # fmt: skip


def decode_rate(slide: Slide, grid: TileGrid, workers: int, seconds: float) -> float:
    """Measure the tiles per second that threads read, in the way of the pipeline."""
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        starts, end = iter(range(0, len(grid), SHARE)), began + seconds
        with slide.stream(grid) as tiles, ThreadPoolExecutor(workers) as readers:

            def read(starts: Iterator[int] = starts, end: float = end) -> int:
                out = np.empty((grid.tile_px, grid.tile_px, 3), np.uint8)
                rows = 0
                for start in starts:
                    for row in range(start, min(start + SHARE, len(grid))):
                        tiles.read(row, out)
                        rows += 1
                    if time.perf_counter() >= end:
                        break
                return rows

            done += sum(future.result() for future in [readers.submit(read) for _ in range(workers)])
    return done / (time.perf_counter() - began)


def encode_rate(encoders: EncoderPool, batch: UInt8Array, seconds: float) -> float:
    """Measure the tiles per second of all encoders together."""
    going: deque[Future[Any]] = deque()
    began, done = time.perf_counter(), 0
    for number in count():
        if number > encoders.size:
            going.popleft().result()
            done += len(batch)
            if time.perf_counter() - began >= seconds:
                break
        going.append(encoders.submit(batch))
    for future in going:
        future.result()
    return (done + len(going) * len(batch)) / (time.perf_counter() - began)


def whole_rate(
    slide: Slide, grid: TileGrid, encoders: EncoderPool, store: StoreWriter, workers: int, batch_size: int
) -> float:
    """Measure the tiles per second from slide to store."""
    began = time.perf_counter()
    quality = TileQuality(grid)
    with (
        ThreadPoolExecutor(workers) as readers,
        store.slide("bench", grid, quality=quality.arrays) as writer,
    ):
        stream_slide(
            slide,
            grid,
            encoders,
            writer,
            batch_size=batch_size,
            readers=readers,
            in_flight=workers + encoders.size + 2,
            seconds=Seconds(),
            stop=threading.Event(),
            on_tiles=lambda tiles: None,
            quality=quality,
        )
        writer.commit({"quality": quality.attributes()})
    return len(grid) / (time.perf_counter() - began)


def peak_memory() -> int:
    """Return the peak memory of the process, bytes; 0 on Windows, which does not record it this way."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
