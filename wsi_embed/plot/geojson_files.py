"""GeoJSON files for QuPath of the slides of a store; of many slides by several processes."""

from __future__ import annotations

import functools
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from wsi_embed.bags.damage import damage_named
from wsi_embed.errors import WsiEmbedError
from wsi_embed.plot.qupath import PARTS, write_bag
from wsi_embed.storage.folder import LocalPlace
from wsi_embed.store import Store
from wsi_embed.util.cpu import cpu_count

# Number of slides from which it pays off to start processes, which takes about a second; the largest useful
# number of processes; and the number of slides that one gets at a time.
MANY_SLIDES, MOST_PROCESSES, AT_A_TIME = 500, 16, 20


@dataclass(frozen=True)
class GeojsonFile:
    """File of one slide.

    Attributes:
        slide_id: Slide id.
        path: Path of the file.
        objects: Number of objects in it.
        has_mask: Whether the store has a tissue mask of the slide.
        error: Message of the error, if the file could not be written.
    """

    slide_id: str
    path: Path
    objects: int = 0
    has_mask: bool = True
    error: str | None = None


def write_slides(
    store: Store, slide_ids: Sequence[str], folder: Path, parts: Sequence[str] = PARTS
) -> Iterator[GeojsonFile]:
    """Write `<slide id>.geojson` for slides of a store, and yield the files in the order of the slides.

    Args:
        store: The store.
        slide_ids: Ids of the slides.
        folder: Folder to write into.
        parts: Parts to write: `tissue`, `clusters`, `tiles`.

    Example:
        >>> from pathlib import Path
        >>> from wsi_embed import open_store
        >>> from wsi_embed.plot.geojson_files import write_slides
        >>> files = write_slides(open_store("feats.zarr"), ["a"], Path("areas"))
        >>> [file.path.name for file in files]
        ['a.geojson']
    """
    done = 0
    write = functools.partial(_write_slide, store, folder, parts)
    if len(slide_ids) >= MANY_SLIDES and cpu_count() > 1 and isinstance(store.place, LocalPlace):
        for file in _by_processes(write, slide_ids):
            done += 1
            yield file
    yield from store.place.map(write, slide_ids[done:])


def _by_processes(write: functools.partial[GeojsonFile], ids: Sequence[str]) -> Iterator[GeojsonFile]:
    """Write files by several processes; if these cannot be started or are killed, only the first ones."""
    try:
        pool = ProcessPoolExecutor(min(cpu_count(), MOST_PROCESSES), get_context("spawn"), _ignore_ctrl_c)
        try:
            yield from pool.map(write, ids, chunksize=AT_A_TIME)
        finally:
            pool.shutdown(cancel_futures=True)
    except (BrokenProcessPool, OSError, RuntimeError):
        return  # a limit on processes, threads or memory


def _ignore_ctrl_c() -> None:
    # a terminal sends it to all processes, and the first one ends the others
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _write_slide(store: Store, folder: Path, parts: Sequence[str], slide_id: str) -> GeojsonFile:
    path = folder / f"{slide_id}.geojson"
    try:
        with damage_named(slide_id):
            bag = store[slide_id]
            return GeojsonFile(slide_id, path, write_bag(path, bag, parts), bag.tissue_mask is not None)
    except WsiEmbedError as error:
        return GeojsonFile(slide_id, path, error=str(error))
