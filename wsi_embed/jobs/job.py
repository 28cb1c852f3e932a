"""Many slides into one output. The unit of work is a slide: independent and idempotent."""

from __future__ import annotations

import abc
import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from wsi_embed.grid import TileGrid
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.inputs.staging import Cache, Staging
from wsi_embed.jobs.report import SlideResult
from wsi_embed.jobs.seconds import Seconds
from wsi_embed.storage.address import Location
from wsi_embed.storage.lock import has_locks, slide_lock
from wsi_embed.tiling.plan import SlidePlan
from wsi_embed.tiling.settings import Tiling, TilingTarget
from wsi_embed.tissue import TissueMask
from wsi_embed.util.versions import versions


@dataclass
class PreparedSlide:
    """A slide whose grid is laid, or which needs no work, or which another process is writing.

    Attributes:
        item: The input.
        result: Filled in so far; its status is final where `plan` is None and it is not `busy`.
        busy: Another process is writing it: try again later.
        held: Keeps other processes away from it until it is closed.
        plan: Holds the open slide.
        grid: The tiles.
        mask: The tissue.
        seconds: Time spent so far.
        all_asked: Set when nothing of it is left to ask the readers for: they can begin with another slide.
    """

    item: SlideInput
    result: SlideResult
    busy: bool = False
    held: ExitStack = field(default_factory=ExitStack)
    plan: SlidePlan | None = None
    grid: TileGrid | None = None
    mask: TissueMask | None = None
    seconds: Seconds = field(default_factory=Seconds)
    all_asked: threading.Event = field(default_factory=threading.Event)

    @property
    def work(self) -> tuple[SlidePlan, TileGrid, TissueMask]:
        """What is needed to go on with a slide that has a plan."""
        assert self.plan is not None
        assert self.grid is not None
        assert self.mask is not None
        return self.plan, self.grid, self.mask

    def close(self) -> None:
        """Close the slide and let others have it: there is no work, or no more."""
        if self.plan is not None:
            self.plan.slide.close()
        self.plan = None
        self.held.close()


@dataclass(frozen=True, kw_only=True)
class Job(abc.ABC):
    """Everything an engine needs to run slides; subclasses say what is made of a slide.

    Attributes:
        slides: What to do.
        out: The store, or whatever the results go to.
        settings: What all slides of the job share.
        tiling: How slides are tiled.
        workers: Reader threads.
        overwrite: Redo slides that are there with other settings.
        dry_run: Only say what would be done.
        max_failures: Stop once more slides than this have failed; None never does.
        versions: Recorded with every slide.
        cache: Where slides may be kept that are not on this machine.
        staging: Fetches them; None where all are here.
        kept_in: What `out` is called in messages.
    """

    slides: list[SlideInput]
    out: Location
    settings: TilingTarget
    tiling: Tiling
    workers: int
    overwrite: bool = False
    dry_run: bool = False
    max_failures: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    cache: Cache = field(default_factory=Cache)
    staging: Staging | None = None
    kept_in: ClassVar[str]

    @property
    @abc.abstractmethod
    def how(self) -> str:
        """With what the slides are worked on, for people."""

    @property
    @abc.abstractmethod
    def document(self) -> Path | None:
        """A file of `out` that is never replaced: what the locks are on. None where there are none."""

    @abc.abstractmethod
    def committed(self, slide_id: str) -> dict[str, Any] | None:
        """Attributes of a slide that is complete, or None."""

    @abc.abstractmethod
    def write(
        self,
        prepared: PreparedSlide,
        readers: ThreadPoolExecutor,
        stop: threading.Event,
        on_tiles: Callable[[int], None],
    ) -> None:
        """Make what is to be made of a prepared slide, and commit it.

        Raises:
            SlideError: The slide cannot be read or processed.
            StoreError: The output cannot be written.
            Stopped: `stop` was set; nothing of the slide is left.
        """

    @property
    def headline(self) -> str:
        """`how`, and what to beware of."""
        if self.dry_run or has_locks(self.document):
            return self.how
        what = "this file system" if isinstance(self.out, Path) else "object storage"
        return (
            f"{self.how}; {what} has no locks: run no second job on {self.out.name} at the same "
            "time, except with --shard"
        )

    def lock(self, slide_id: str) -> AbstractContextManager[bool]:
        """Hold a slide while it is written; False where another process does."""
        return slide_lock(self.document, slide_id)

    def arrived(self) -> Self:
        """This job in a process that it was sent to (pickled): with what is to be found out there.

        Raises:
            WsiEmbedError: It cannot be done there.
        """
        return replace(self, versions=versions())

    @property
    def fetches(self) -> bool:
        """Whether any slide is not on this machine."""
        return any(item.remote is not None for item in self.slides)

    @contextlib.contextmanager
    def fetching(self, stop: threading.Event) -> Iterator[Self]:
        """This job, able to fetch slides until the context is left.

        Raises:
            UsageError: The cache cannot be written.
        """
        if not self.fetches:
            yield self
            return
        with self.cache.open(stop) as staging:
            yield replace(self, staging=staging)

    def gives_up(self, failed: int) -> bool:
        """Whether so many failed slides are too many to go on."""
        return self.max_failures is not None and failed > self.max_failures

    def lay_grid(self, plan: SlidePlan) -> tuple[TileGrid, TissueMask]:
        """The tiles of a slide, and the tissue that says so."""
        return plan.make_grid(self.tiling)

    def recall(self, result: SlideResult, committed: dict[str, Any]) -> None:
        """Say of a slide that is complete already what there is of it."""
        result.tiles, result.tissue = committed["n_tiles"], committed.get("tissue_share")

    def to_dict(self) -> dict[str, Any]:
        """Settings for the report."""
        tiling = self.tiling
        return {
            **self.settings.to_dict(),
            "overlap": tiling.overlap,
            "edge": tiling.edge,
            "tissue": tiling.tissue.to_dict(),
            "min_tissue": tiling.min_tissue,
            "roi": tiling.regions.to_dict(),
            "icc": tiling.icc,
            "reader": tiling.reader,
            "fast_downsample": tiling.fast_downsample,
            "workers": self.workers,
        }

    def names(self, item: SlideInput) -> dict[Location, str]:
        """What reports and logs call the paths that have to do with a slide."""
        names: dict[Location, str] = {item.path: item.name, self.out: self.out.name}
        if item.roi is not None:
            names[item.roi] = item.roi.name
        if item.remote is not None:
            names[item.remote.address] = item.name
        return names


def threads(workers: int) -> str:
    """Reader threads, for people."""
    return f"{workers} reader thread{'s' * (workers != 1)}"
