"""What happened to every slide of a job."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from wsi_embed.errors import WsiEmbedError
from wsi_embed.util.atomic_files import replacing

Status = Literal["done", "skipped", "failed", "stopped", "planned"]


@dataclass
class SlideResult:
    """One slide's outcome.

    Attributes:
        slide_id: Its id.
        slide: The file, relative to what was given.
        status: `done`, `skipped` (complete already, or nothing to take), `failed`, `stopped` (not
            reached, or dropped), `planned` (dry run).
        tiles: Number of tiles.
        tissue: Share of the slide that is tissue, 0 to 1; None where it was not looked for.
        mpp: Micrometres per level-0 pixel; None where it is not known.
        bad_tiles: Tiles that could not be read and were taken as white.
        seconds: By stage: `tissue`, `read`, `encode`, `write` (they overlap), `total` on the wall.
        reason: Why it failed, was skipped or was stopped.
        warnings: What to look at although it is done.
        left_out: Images of the file that are no level of the slide, each with the reason.
        traceback: Of an unexpected error, which is a bug.
    """

    slide_id: str
    slide: str
    status: Status = "stopped"
    tiles: int = 0
    tissue: float | None = None
    mpp: float | None = None
    bad_tiles: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    reason: str | None = None
    warnings: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    traceback: str | None = None


@dataclass
class JobReport:
    """A job's outcome.

    Attributes:
        store: Name of the store, or of the folder of tiles.
        model: Name and id of the model, device, and whether it is the demonstration model; empty
            where none is needed.
        settings: Resolution, tiling, batch size, readers.
        versions: Of wsi-embed and the libraries that made the numbers.
        slides: Every slide, in the order of their ids.
        outliers: What is odd about slides that are unlike the rest, by slide id.
        started: ISO 8601, UTC.
        seconds: On the wall.
        stopped: Whether the job was told to stop.
        notes: What else there is to say at the end.
        error: Why not all slides were looked at, or what went wrong after them.
    """

    store: str
    model: dict[str, Any]
    settings: dict[str, Any]
    versions: dict[str, str]
    slides: list[SlideResult] = field(default_factory=list)
    outliers: dict[str, list[str]] = field(default_factory=dict)
    started: str = ""
    seconds: float = 0.0
    stopped: bool = False
    notes: list[str] = field(default_factory=list)
    error: str | None = None

    def count(self, status: Status) -> int:
        """Number of slides with a status."""
        return Counter(s.status for s in self.slides)[status]

    @property
    def tiles(self) -> int:
        """Tiles made by this job."""
        return sum(s.tiles for s in self.slides if s.status == "done")

    @property
    def exit_code(self) -> int:
        """0 all done, 1 some slides failed, 75 stopped early."""
        if self.stopped:
            return 75
        return 1 if self.count("failed") or self.error else 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with a summary first."""
        return {"summary": self.summary(), **asdict(self)}

    def summary(self) -> dict[str, int]:
        """Number of slides by status, tiles made, exit code."""
        counts: dict[str, int] = {name: self.count(name) for name in get_args(Status)}
        return {**counts, "tiles": self.tiles, "exit_code": self.exit_code}

    def write(self, path: Path) -> None:
        """Write the report as JSON, whole or not at all.

        Raises:
            WsiEmbedError: If it cannot be written.
        """
        write_whole(path, json.dumps(self.to_dict(), indent=2) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Write a report's file, whole or not at all.

    Raises:
        WsiEmbedError: If it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(text, "utf-8")
    except OSError as error:
        raise WsiEmbedError(f"{path}: the report cannot be written ({error.strerror})") from error
