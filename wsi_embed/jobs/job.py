"""Job: many slides into one output. The unit of work is a slide: independent and idempotent."""

from __future__ import annotations

import abc
import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from wsi_embed.grid import TileGrid
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.inputs.staging import Staging
from wsi_embed.jobs.crashes import CrashRecord
from wsi_embed.jobs.listener import DrawPreview
from wsi_embed.jobs.options import JobOptions
from wsi_embed.jobs.report import SlideResult
from wsi_embed.jobs.slide_work import SlideWork
from wsi_embed.quality.selection import select_tiles
from wsi_embed.storage.address import Location
from wsi_embed.storage.lock import has_locks, slide_lock
from wsi_embed.storage.redirects import allow_private
from wsi_embed.tiling.plan import SlidePlan
from wsi_embed.tiling.settings import Tiling, TilingTarget
from wsi_embed.tissue import TissueMask
from wsi_embed.util.text import argument
from wsi_embed.util.versions import versions


@dataclass(frozen=True, kw_only=True)
class Job(abc.ABC):
    """Everything an engine needs to run slides; subclasses define the processing of a slide.

    Attributes:
        slides: Slides to process.
        out: Path or address of the store or folder that is written.
        settings: Target shared by all slides of the job.
        tiling: Tiling settings.
        options: Options of the job.
        workers: Number of reader threads per process.
        versions: Versions of the libraries in use, recorded with every slide.
        staging: Cache of remote slides while the job runs; None if no slide is remote.
        crashes: Record of slides that ended the process while the job runs; None for object storage and
            dry runs.
        preview: Function that draws prepared slides for the report; None for no pictures.
        output: Name of `out` in messages.
    """

    slides: list[SlideInput]
    out: Location
    settings: TilingTarget
    tiling: Tiling
    options: JobOptions
    workers: int
    versions: dict[str, str] = field(default_factory=versions)
    staging: Staging | None = None
    crashes: CrashRecord | None = None
    preview: DrawPreview | None = None
    output: ClassVar[str]

    @property
    @abc.abstractmethod
    def how(self) -> str:
        """Description of model, device and threads."""

    @property
    @abc.abstractmethod
    def lock_file(self) -> Path | None:
        """File of `out` that is never replaced, on which locks are taken; None for object storage."""

    @abc.abstractmethod
    def committed(self, slide_id: str) -> dict[str, Any] | None:
        """Return the attributes of a complete slide, or None."""

    @abc.abstractmethod
    def write(
        self,
        work: SlideWork,
        readers: ThreadPoolExecutor,
        stop: threading.Event,
        on_tiles: Callable[[int], None],
    ) -> None:
        """Process a prepared slide, and commit it.

        Args:
            work: Prepared slide.
            readers: Pool of reader threads.
            stop: Event that stops the processing.
            on_tiles: Callback with the number of tiles that were finished.

        Raises:
            SlideError: If the slide cannot be read or processed.
            StoreError: If the output cannot be written.
            Stopped: If `stop` is set; nothing of the slide is left.
        """

    @property
    def headline(self) -> str:
        """Description of model, device and threads, with a warning if two jobs could write the same slide."""
        how, asked = self.how, self.options.workers or 0
        if asked > self.workers:
            how += (
                f" (the most that are useful and possible here; {argument('workers', asked)} was asked for)"
            )
        if self.options.dry_run or has_locks(self.lock_file):
            return how
        what = "this file system" if isinstance(self.out, Path) else "object storage"
        return (
            f"{how}; {what} has no locks: run no second job on {self.out.name} at the same "
            "time, except with `shard=`"
        )

    def lock(self, slide_id: str) -> AbstractContextManager[bool]:
        """Lock a slide while it is written; the context yields False if another process holds the lock."""
        return slide_lock(self.lock_file, slide_id)

    def in_worker(self) -> Self:
        """Return the job prepared for the process that unpickled it, with what depends on the machine.

        Raises:
            WsiEmbedError: If the job cannot run on this machine.
        """
        allow_private(self.options.allow_private)
        return replace(self, versions=versions())

    @property
    def around_unreadable(self) -> bool:
        """Whether parts of a slide that cannot be read are passed over."""
        return False

    @property
    def fetches(self) -> bool:
        """Whether any slide is remote."""
        return any(item.remote is not None for item in self.slides)

    @contextlib.contextmanager
    def fetching(self, stop: threading.Event) -> Iterator[Self]:
        """Return the job with an open cache, which is removed when the context is left.

        Raises:
            UsageError: If the cache cannot be written.
        """
        if not self.fetches:
            yield self
            return
        with self.options.slide_cache().open(stop) as staging:
            yield replace(self, staging=staging)

    @contextlib.contextmanager
    def recording_crashes(self) -> Iterator[Self]:
        """Return the job with an open record of crashes, which is closed when the context is left."""
        if self.options.dry_run or not isinstance(self.out, Path):
            yield self
            return
        with contextlib.closing(CrashRecord(self.out)) as crashes:
            yield replace(self, crashes=crashes)

    def in_work(self, item: SlideInput) -> AbstractContextManager[None]:
        """Record that a slide is in work; see `CrashRecord.in_work`."""
        return contextlib.nullcontext() if self.crashes is None else self.crashes.in_work(item)

    def make_grid(self, plan: SlidePlan) -> tuple[TileGrid, TissueMask]:
        """Return the tiles of a slide, and the tissue mask that selects them."""
        return plan.make_grid(self.tiling, around_unreadable=self.around_unreadable)

    def choose_tiles(
        self, plan: SlidePlan, grid: TileGrid, mask: TissueMask, result: SlideResult, stop: threading.Event
    ) -> TileGrid:
        """Return the tiles of a slide that are taken: those within the limits of quality.

        Args:
            plan: Plan of the slide.
            grid: Tiles with enough tissue.
            mask: Tissue mask of the slide.
            result: Result of the slide, in which the number of tiles that are left out is recorded.
            stop: Event that stops the processing.

        Raises:
            SlideError: If a tile cannot be read.
            Stopped: If `stop` is set.
        """
        if not self.tiling.limits.used:
            return grid
        kept = select_tiles(
            plan.slide,
            grid,
            self.tiling.limits,
            glass=mask.glass,
            workers=self.workers,
            stop=stop,
            around_unreadable=self.around_unreadable,
        )
        result.poor_tiles = int((~kept).sum())
        return grid.where(kept)

    def describe_complete(self, result: SlideResult, committed: dict[str, Any]) -> None:
        """Fill in the result of a complete slide from its attributes."""
        result.tiles, result.tissue = committed["n_tiles"], committed.get("tissue_share")
        result.read_level = committed.get("level")
        quality = committed.get("quality") or {}
        result.poor_tiles = quality.get("left_out", 0)
        result.focus, result.blurred = quality.get("focus"), quality.get("blurred")
        if committed.get("slide_fingerprint") and committed.get("slide_sample"):
            result.content = f"{committed['slide_fingerprint']}{committed['slide_sample']}"

    def to_dict(self) -> dict[str, Any]:
        """Return the settings for the report."""
        return {**self.settings.to_dict(), **self.tiling.to_dict(), "workers": self.workers}


def threads(workers: int) -> str:
    """Describe a number of reader threads."""
    return f"{workers} reader thread{'s' * (workers != 1)}"
