"""Report of a job: the result of every slide."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from wsi_embed.errors import WsiEmbedError, printable
from wsi_embed.util.atomic_files import replacing
from wsi_embed.util.json_text import json_text
from wsi_embed.util.text import counted

COMPLETE = "complete already"
Status = Literal["done", "skipped", "failed", "stopped", "planned"]


@dataclass
class SlideResult:
    """Result of one slide.

    Attributes:
        slide_id: Slide id.
        slide: Slide file, relative to the job's input.
        status: `done`, `skipped` (already complete, or nothing to take), `failed`, `stopped` (not reached, or
            dropped), `planned` (dry run).
        tiles: Number of tiles.
        tissue: Share of the slide that is tissue, 0 to 1; None if it was not determined.
        mpp: Micrometres per level-0 pixel; None if unknown.
        bad_tiles: Number of tiles that could not be read and were taken as white.
        seconds: Time per stage: `tissue`, `read`, `encode`, `write` (which overlap), and `total`
            (wall-clock).
        reason: Reason why the slide failed, was skipped or was stopped, in one line; None otherwise.
        problem: Description of the problem of a failed slide, without its name.
        remedy: Advice on how to fix it; None if there is none.
        warnings: Warnings about a slide that was processed nevertheless.
        left_out: Images in the file that are not levels of the slide, each with the reason.
        traceback: Traceback of an unexpected error, which is a bug.
        read_level: Level from which the tiles are read; None if it was not determined.
        near_empty: Share of the tiles that are nearly empty glass, 0 to 1; None if it was not determined.
        poor_tiles: Number of tiles that are beyond the limits of quality, and left out.
        focus: Median focus of the tiles, grey levels; None if it was not measured.
        blurred: Share of the tiles that are blurred, 0 to 1; None if it was not measured.
        content: Digest of samples of the slide's files; None if the slide was not opened.
        previews: Pictures by caption, JPEG, if the job's listener has a function that draws them.
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
    problem: str | None = None
    remedy: str | None = None
    warnings: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    traceback: str | None = None
    read_level: int | None = None
    near_empty: float | None = None
    poor_tiles: int = 0
    focus: float | None = None
    blurred: float | None = None
    content: str | None = None
    previews: dict[str, bytes] = field(default_factory=dict, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values: everything but the pictures."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "previews"}


@dataclass(repr=False)
class JobReport:
    """Report of a job, as returned by `embed` and `tile`.

    Attributes:
        store: Name of the store, or of the folder of tiles.
        model: Name, id and licence of the model, device, and whether it is the demonstration model; empty if
            no model is needed.
        settings: Resolution, tiling, batch size, readers.
        versions: Versions of wsi-embed and of the libraries that affect results.
        slides: Result of every slide, in the order of their ids.
        outliers: Deviations of slides that differ from the rest, by slide id.
        started: Start time (ISO 8601, UTC).
        seconds: Wall-clock time.
        stopped: Whether the job was stopped early.
        notes: Further remarks.
        error: Error that ended the job early, or that occurred after the last slide.

    Example:
        >>> import wsi_embed
        >>> report = wsi_embed.embed("slides/", "feats.zarr", model="model.onnx")
        >>> report.count("failed"), report.exit_code
        (0, 0)
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

    def __repr__(self) -> str:
        counts = ", ".join(f"{self.count(name)} {name}" for name in get_args(Status) if self.count(name))
        return f"<JobReport of {self.store}: {counts or 'no slides'}; {counted(self.tiles, 'tile')}>"

    def count(self, status: Status) -> int:
        """Return the number of slides with a status."""
        return Counter(s.status for s in self.slides)[status]

    @property
    def tiles(self) -> int:
        """Number of tiles processed by this job."""
        return sum(s.tiles for s in self.slides if s.status == "done")

    @property
    def planned_tiles(self) -> int:
        """Number of tiles that a dry run would make."""
        return sum(s.tiles for s in self.slides if s.status == "planned")

    @property
    def exit_code(self) -> int:
        """Exit code: 0 if all slides are done, 1 if some failed, 75 if the job was stopped early."""
        if self.stopped:
            return 75
        return 1 if self.count("failed") or self.error else 0

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values, with a summary first."""
        facts = {f.name: getattr(self, f.name) for f in fields(self)}
        return {"summary": self.summary(), **facts, "slides": [slide.to_dict() for slide in self.slides]}

    def summary(self) -> dict[str, int]:
        """Return the number of slides by status, the number of tiles, and the exit code."""
        counts: dict[str, int] = {name: self.count(name) for name in get_args(Status)}
        return {**counts, "tiles": self.tiles, "exit_code": self.exit_code}

    def write(self, path: Path) -> None:
        """Write the report as JSON, atomically.

        Raises:
            WsiEmbedError: If the file cannot be written.
        """
        write_whole(path, json_text(self.to_dict(), indent=2) + "\n")


def shown_name(result: SlideResult) -> str:
    """Return the name of a slide for people: its id, or its file if the id has escaped characters."""
    return printable(result.slide if "%" in result.slide_id else result.slide_id)


def write_whole(path: Path, text: str) -> None:
    """Write a report file atomically.

    Raises:
        WsiEmbedError: If the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            # a name that is no UTF-8 is shown with escapes
            temporary.write_text(text, "utf-8", errors="backslashreplace")
    except OSError as error:
        raise WsiEmbedError(f"the report cannot be written ({error.strerror})", where=path) from error
