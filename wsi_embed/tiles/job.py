"""Processing of a slide by `wsi-embed tile`: its tiles as image files."""

from __future__ import annotations

import csv
import hashlib
import io
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from wsi_embed.errors import SlideError
from wsi_embed.grid import TileGrid
from wsi_embed.inputs.folders import TILES_MARK
from wsi_embed.jobs.job import Job, threads
from wsi_embed.jobs.report import SlideResult
from wsi_embed.jobs.slide_work import SlideWork
from wsi_embed.tiles.folder import COLUMNS, TileFolder
from wsi_embed.tiles.settings import TileSettings
from wsi_embed.tiles.writing import write_tiles
from wsi_embed.tiling.plan import SlidePlan
from wsi_embed.tissue import TissueMask


@dataclass(frozen=True, kw_only=True)
class TileJob(Job):
    """Job that writes slides into a folder of tile images.

    Attributes:
        out: Path of the folder.
        settings: Requested tiles and image format.
        folder: Open folder; None for a dry run without an existing one.
    """

    out: Path
    settings: TileSettings
    folder: TileFolder | None
    output: ClassVar[str] = "the folder"

    @property
    def how(self) -> str:
        """Description of size, resolution, format and threads."""
        s = self.settings
        most = f", at most {s.max_tiles} a slide" if s.max_tiles else ""
        kind = "PNG" if s.quality is None else f"JPEG of quality {s.quality}"
        return f"tiles of {s.tile_px} px at {s.mpp:g} um per pixel{most}, as {kind}, {threads(self.workers)}"

    @property
    def lock_file(self) -> Path:
        """File that marks the folder as one of tiles."""
        return self.out / TILES_MARK

    def committed(self, slide_id: str) -> dict[str, Any] | None:
        """Return the record of a slide that is complete in the folder, or None."""
        return self.folder.committed(slide_id) if self.folder else None

    def choose_tiles(
        self, plan: SlidePlan, grid: TileGrid, mask: TissueMask, result: SlideResult, stop: threading.Event
    ) -> TileGrid:
        """Return the tiles of a slide that are within the limits of quality, or a sample of them."""
        grid = super().choose_tiles(plan, grid, mask, result, stop)
        most, seed = self.settings.max_tiles, self.settings.seed
        return grid if most is None else sample(grid, most, f"{seed}:{plan.slide.fingerprint}")

    def write(
        self,
        work: SlideWork,
        readers: ThreadPoolExecutor,
        stop: threading.Event,
        on_tiles: Callable[[int], None],
    ) -> None:
        """Write the tiles and commit the slide's folder."""
        plan, grid = work.plan, work.grid
        assert self.folder is not None, "only a dry run has none"
        names = [f"{x}_{y}{self.settings.suffix}" for x, y in grid.coords.tolist()]
        with self.folder.slide(plan.item.slide_id) as target:
            try:
                write_tiles(
                    plan.slide,
                    grid,
                    names,
                    target,
                    self.settings,
                    readers=readers,
                    in_flight=self.workers + 2,
                    seconds=work.seconds,
                    stop=stop,
                    on_tiles=on_tiles,
                    all_submitted=work.all_read.set,
                )
            except SlideError:
                plan.check_unchanged()  # if the file changed, that is the better explanation
                raise
            plan.check_unchanged()
            began = time.perf_counter()
            record = {
                **plan.attributes(grid, self.tiling, self.versions),
                "n_tiles": len(grid),
                "tissue_share": work.result.tissue,
                **({"quality": {"left_out": work.result.poor_tiles}} if work.result.poor_tiles else {}),
            }
            target.commit(record, table_rows(plan, grid, names))
            work.seconds.write += time.perf_counter() - began


def sample(grid: TileGrid, most: int, seed: str) -> TileGrid:
    """Return a random sample of the tiles of a grid, in the order of the grid.

    Each tile is hashed with the seed and its position, and those with the smallest hashes are taken. The
    sample is the same on every machine and in every version, and a larger sample contains a smaller one.

    Args:
        grid: Tiles of the slide.
        most: Largest number of tiles.
        seed: Seed of the hash.
    """
    if len(grid) <= most:
        return grid
    numbers = [_number(f"{seed}:{row}:{col}") for row, col in grid.grid.tolist()]
    taken = np.zeros(len(grid), np.bool_)
    taken[np.argsort(np.array(numbers, np.uint64), kind="stable")[:most]] = True
    return grid.where(taken)


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def table_rows(plan: SlidePlan, grid: TileGrid, names: list[str]) -> str:
    """Return a slide's rows of the table, as CSV with a header."""
    slide_id, patient = plan.item.slide_id, plan.item.patient or ""
    mpp, extent = f"{plan.read.effective_mpp:.6g}", f"{grid.extent:.10g}"
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    places = zip(names, grid.coords.tolist(), grid.grid.tolist(), grid.tissue_fraction.tolist(), strict=True)
    for name, xy, at, tissue in places:
        table.writerow((f"{slide_id}/{name}", slide_id, patient, *xy, *at, mpp, extent, f"{tissue:.4f}"))
    return text.getvalue()
