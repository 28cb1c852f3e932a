"""Benchmark of reading a store against the h5 files of other tools, with the same content and a warm cache.

Writes the same bags (a) as a store, through `StoreWriter` and `SlideWriter` in batches as in a job, (b) as h5
with one row per chunk and no compression, as TRIDENT and CLAM do, (c) as h5 with 32 rows per chunk. Then it
measures, in interleaved rounds, the median time of

* bag: open one bag and read all its features and coordinates into NumPy
* tiles: random rows of an open bag, one by one
* fancy: the same rows as one sorted indexed read
* slice: contiguous rows of an open bag
* list: open everything, list ids and bag sizes

The ratio is relative to h5 with one row per chunk and the same dtype; below 1 is faster. With `--layouts` the
store is also measured with other chunks and shards.
"""

# ruff: noqa: D102 (what is measured is said above)
from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import zarr

from wsi_embed.encoder.base import Encoded
from wsi_embed.encoder.metadata import ModelMetadata
from wsi_embed.grid import ReadPlan, TileGrid
from wsi_embed.store import StoreSettings, StoreWriter, layout, open_store

MIB = 2**20
BATCH = 256
COLUMNS = ("bag", "tiles", "fancy", "slice", "list")
Features = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Content:
    """Content of every format: one grid, and features by slide id."""

    grid: TileGrid
    bags: dict[str, Features]

    @classmethod
    def make(cls, bags: int, tiles: int, dim: int) -> Content:
        columns = int(np.ceil(np.sqrt(tiles)))
        row_col = np.stack(np.divmod(np.arange(tiles), columns), axis=1).astype(np.int32)
        xy = (row_col[:, ::-1] * 256).astype(np.int32)
        plan = ReadPlan(0, 256, 256, 0.5)
        grid = TileGrid(plan, 256, (1.0, 1.0), row_col, xy, np.ones(tiles, np.float32))
        rng = np.random.default_rng(0)
        return cls(grid, {f"slide{i}": rng.standard_normal((tiles, dim), np.float32) for i in range(bags)})


class Format(ABC):
    """A format of the content. The features of an open bag are any object that can be indexed."""

    def __init__(self, name: str, dtype: str, path: Path) -> None:
        self.name, self.dtype, self.path = name, dtype, path

    @abstractmethod
    def write(self, content: Content) -> None: ...

    @abstractmethod
    def bag(self, slide_id: str) -> None: ...

    @abstractmethod
    @contextmanager
    def open(self, slide_id: str) -> Iterator[Any]: ...

    @abstractmethod
    def fancy(self, features: Any, rows: Rows) -> npt.NDArray[Any]: ...

    @abstractmethod
    def list(self) -> dict[str, int]: ...

    def size(self) -> int:
        return sum(p.stat().st_size for p in self.path.rglob("*") if p.is_file())


class ZarrStore(Format):
    """The store of this package, with default or given layout constants."""

    def __init__(
        self,
        name: str,
        dtype: str,
        path: Path,
        chunk: int = layout.CHUNK_BYTES,
        shard: int = layout.SHARD_BYTES,
    ) -> None:
        super().__init__(name, dtype, path)
        self._constants = chunk, shard

    def write(self, content: Content) -> None:
        usual = layout.CHUNK_BYTES, layout.SHARD_BYTES
        layout.CHUNK_BYTES, layout.SHARD_BYTES = self._constants
        try:
            self._write(content)
        finally:
            layout.CHUNK_BYTES, layout.SHARD_BYTES = usual

    def _write(self, content: Content) -> None:
        dim = next(iter(content.bags.values())).shape[1]
        settings = StoreSettings("sha256:0", 256, 0.5, self.dtype, dim, None)
        model = ModelMetadata("m", "none", "none", 256, 0.5, (), (), dim, None, "fp32", "sha256:0")
        store = StoreWriter(self.path, settings, model)
        for slide_id, features in content.bags.items():
            with store.slide(slide_id, content.grid) as writer:
                for start in range(0, len(features), BATCH):
                    writer.append(Encoded(features[start : start + BATCH]))
                writer.commit({})

    def bag(self, slide_id: str) -> None:
        bag = open_store(self.path)[slide_id]
        _ = bag.features[:], bag.coords[:]

    @contextmanager
    def open(self, slide_id: str) -> Iterator[Any]:
        yield open_store(self.path)[slide_id].features

    def fancy(self, features: Any, rows: Rows) -> npt.NDArray[Any]:
        return np.asarray(getattr(features, "zarr", features).oindex[rows])

    def list(self) -> dict[str, int]:
        return {slide_id: len(bag) for slide_id, bag in open_store(self.path).items()}


class H5Files(Format):
    """One h5 file per slide, with uncompressed `features` and `coords` in chunks of some rows."""

    def __init__(self, name: str, dtype: str, path: Path, chunk_rows: int) -> None:
        super().__init__(name, dtype, path)
        self._chunk_rows = chunk_rows

    def write(self, content: Content) -> None:
        self.path.mkdir()
        coords = content.grid.coords.astype(np.int64)
        for slide_id, features in content.bags.items():
            rows, dim = min(self._chunk_rows, len(features)), features.shape[1]
            with h5py.File(self.path / f"{slide_id}.h5", "w") as file:
                values = features.astype(self.dtype)
                file.create_dataset("features", data=values, chunks=(rows, dim), maxshape=(None, dim))
                file.create_dataset("coords", data=coords, chunks=(rows, 2), maxshape=(None, 2))

    def bag(self, slide_id: str) -> None:
        with h5py.File(self.path / f"{slide_id}.h5") as file:
            _ = file["features"][:], file["coords"][:]

    @contextmanager
    def open(self, slide_id: str) -> Iterator[Any]:
        with h5py.File(self.path / f"{slide_id}.h5") as file:
            yield file["features"]

    def fancy(self, features: Any, rows: Rows) -> npt.NDArray[Any]:
        return np.asarray(features[rows])

    def list(self) -> dict[str, int]:
        sizes = {}
        for path in sorted(self.path.glob("*.h5")):
            with h5py.File(path) as file:
                sizes[path.stem] = len(file["features"])
        return sizes


def make_formats(folder: Path, layouts: bool) -> list[Format]:
    """Create the formats to compare; the first of each dtype is the reference of the ratios."""
    formats: list[Format] = []
    for dtype in ("float16", "float32"):
        at = folder / dtype
        formats += [
            H5Files("h5, 1 row a chunk", dtype, at / "h5-1", 1),
            H5Files("h5, 32 rows a chunk", dtype, at / "h5-32", 32),
            ZarrStore("store", dtype, at / "store"),
        ]
        for chunk in (1, 2, 4) if layouts else ():
            for shard in (64, 16, 0):
                name = f"store, chunks {chunk} MiB, " + (f"shards {shard} MiB" if shard else "no shards")
                at_layout = at / f"{chunk}-{shard}"
                formats.append(ZarrStore(name, dtype, at_layout, chunk * MIB, shard * MIB))
        at.mkdir()
    return formats


def milliseconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1e3


def check_same(fmt: Format, content: Content, rows: Rows) -> None:
    """Check that a format gives the same numbers as the content."""
    for slide_id, features in content.bags.items():
        with fmt.open(slide_id) as opened:
            np.testing.assert_array_equal(fmt.fancy(opened, rows), features[rows].astype(fmt.dtype))


def measure_round(fmt: Format, slide_id: str, rows: Rows, length: int) -> dict[str, float]:
    """Measure every kind of read once."""
    times = {"bag": milliseconds(lambda: fmt.bag(slide_id)), "list": milliseconds(fmt.list)}
    with fmt.open(slide_id) as features:
        n = len(features) if hasattr(features, "__len__") else features.shape[0]
        first = (n - min(length, n)) // 2
        times["tiles"] = milliseconds(lambda: [features[int(row)] for row in rows])
        times["fancy"] = milliseconds(lambda: fmt.fancy(features, rows))
        times["slice"] = milliseconds(lambda: features[first : first + length])
    return times


def table(lines: list[list[str]]) -> str:
    """Format a Markdown table; the first line is its head."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    rows = [
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]
    rule = "|" + "|".join("-" * (w + 2) for w in widths) + "|"
    return "\n".join([rows[0], rule, *rows[1:]])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bags", type=int, default=3)
    parser.add_argument("--tiles", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--random", type=int, default=64, help="random rows")
    parser.add_argument("--slice", type=int, default=4096, help="contiguous rows")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--layouts", action="store_true", help="also other chunk sizes, and no shards")
    args = parser.parse_args()

    content = Content.make(args.bags, args.tiles, args.dim)
    draw = np.random.default_rng(1)
    pick = min(args.random, args.tiles)
    with tempfile.TemporaryDirectory() as folder:
        formats = make_formats(Path(folder), args.layouts)
        written = {id(f): milliseconds(lambda f=f: f.write(content)) for f in formats}  # type: ignore[misc]
        times: dict[tuple[int, str], list[float]] = {}
        first_rows = np.sort(draw.choice(args.tiles, pick, replace=False))
        for fmt in formats:  # also fills the cache
            check_same(fmt, content, first_rows)
        for repeat in range(args.repeats):
            slide_id = f"slide{repeat % args.bags}"
            rows = np.sort(draw.choice(args.tiles, pick, replace=False))
            for fmt in formats:
                for what, ms in measure_round(fmt, slide_id, rows, args.slice).items():
                    times.setdefault((id(fmt), what), []).append(ms)
        sizes = {id(f): f.size() for f in formats}

    base: dict[str, Format] = {}
    lines = [["dtype", "format", *(f"{c} ms (ratio)" for c in COLUMNS), "write ms (ratio)", "MB on disk"]]
    for fmt in formats:
        ref = base.setdefault(fmt.dtype, fmt)
        cells = []
        for what in COLUMNS:
            ours, theirs = (statistics.median(times[id(f), what]) for f in (fmt, ref))
            cells.append(f"{ours:.2f} ({ours / theirs:.2f})")
        cells.append(f"{written[id(fmt)]:.0f} ({written[id(fmt)] / written[id(ref)]:.2f})")
        lines.append([fmt.dtype, fmt.name, *cells, f"{sizes[id(fmt)] / 1e6:.1f}"])
    versions = (
        f"Python {platform.python_version()}, zarr {zarr.__version__}, h5py {h5py.__version__}, "
        f"NumPy {np.__version__}"
    )
    print(f"{args.bags} bags of {args.tiles} x {args.dim}, medians of {args.repeats}; {versions}\n")
    print(table(lines))


if __name__ == "__main__":
    main()
