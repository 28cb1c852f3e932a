"""Options for running a job. They do not affect the output for a slide; those are in `Tiling`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wsi_embed.errors import UsageError
from wsi_embed.inputs.staging import Cache
from wsi_embed.util.text import argument

MOST = 1_000_000


@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """Options of a job of any kind.

    Attributes:
        workers: Number of reader threads per process; None for one per core.
        overwrite: Whether slides that are complete with other settings are redone.
        shard: Shard of the slides to take, `i/n` or `auto`; see `wsi_embed.inputs.shards`.
        max_failures: Number of failed slides beyond which the job stops; None for no limit.
        limit: Number of slides to take, from the first; None for all.
        cache: Folder for remote slides; None for the system's temporary folder.
        cache_gb: Size limit of the cache in GB; None for half of the free disk space.
        dry_run: Whether slides are only opened and their tiles counted.
        engine: `local` (this process) or `ray` (actors of a Ray cluster).
        address: Address of the Ray cluster.
        actors: Number of Ray actors; None for as many as there is room for.
        ext: Suffixes of the slides to take from folders; empty for all formats.
        allow_private: Whether redirects of web servers may lead to this machine or a private network.

    Raises:
        UsageError: If a number is out of range.
    """

    workers: int | None = None
    overwrite: bool = False
    shard: str | None = None
    max_failures: int | None = None
    limit: int | None = None
    cache: str | Path | None = None
    cache_gb: float | None = None
    dry_run: bool = False
    engine: str = "local"
    address: str | None = None
    actors: int | None = None
    ext: str | Sequence[str] = ()
    allow_private: bool = False

    def __post_init__(self) -> None:
        check_counts(workers=self.workers, limit=self.limit, actors=self.actors)
        check_counts(0, max_failures=self.max_failures)
        self.slide_cache()

    def slide_cache(self) -> Cache:
        """Return the cache for remote slides."""
        return Cache.of(self.cache, self.cache_gb)

    def too_many(self, failed: int) -> bool:
        """Return whether this number of failed slides stops the job."""
        return self.max_failures is not None and failed > self.max_failures


def check_counts(least: int = 1, **counts: int | None) -> None:
    """Check numbers given as options; None is accepted.

    Raises:
        UsageError: If a number is not between `least` and a million.
    """
    for name, value in counts.items():
        if value is not None and not least <= value <= MOST:
            raise UsageError(f"{least} to {MOST} is expected", where=argument(name, value))
