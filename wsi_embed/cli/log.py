"""JSON log of a job, one object per line."""

from __future__ import annotations

import datetime
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import typer

from wsi_embed.cli.wording import reworded
from wsi_embed.errors import WsiEmbedError
from wsi_embed.jobs.failures import without_folders
from wsi_embed.jobs.listener import Listener
from wsi_embed.jobs.report import JobReport, SlideResult
from wsi_embed.storage import Location
from wsi_embed.util.json_text import json_text

# A slide can take an hour: log in between that the job is alive.
PROGRESS_SECONDS = 30.0
# Folders of an absolute path, but not those of an address (s3://bucket/...).
ABSOLUTE = re.compile(r"(?<![\w:/.~*-])/(?:[^\s/:;,'\"`]+/)+")


class JsonDisplay(Listener):
    """Listener that logs every event of a job as a line: `time` (UTC), `level`, `event`, and its data.

    Args:
        notes: Remarks to log when the job starts.
    """

    def __init__(self, notes: Sequence[str] = ()) -> None:
        self._notes = notes
        self._tiles: dict[str, int] = {}
        self._done: Counter[str] = Counter()
        self._logged = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def job_started(self, slides: int, how: str) -> None:
        """Log the number of slides, and what processes them."""
        for note in self._notes:
            self.note(note)
        log_line("job_started", slides=slides, message=how)

    def slide_started(self, slide_id: str, tiles: int) -> None:
        """Log which slide is started."""
        self._tiles[slide_id], self._logged = tiles, time.monotonic()
        self._done.pop(slide_id, None)  # it may be a retry
        log_line("slide_started", slide_id=slide_id, tiles=tiles)

    def tiles_done(self, slide_id: str, count: int) -> None:
        """Log the progress of the slide at intervals."""
        self._done[slide_id] += count
        if time.monotonic() - self._logged >= PROGRESS_SECONDS:
            self._logged = time.monotonic()
            log_line(
                "progress", slide_id=slide_id, tiles_done=self._done[slide_id], tiles=self._tiles[slide_id]
            )

    def waiting(self, slides: int) -> None:
        """Log what the job is waiting for."""
        log_line("waiting", slides=slides)

    def note(self, text: str) -> None:
        """Log a remark."""
        log_line("note", message=text)

    def slide_finished(self, result: SlideResult) -> None:
        """Log the result of a slide, with its warnings."""
        self._tiles.pop(result.slide_id, None)
        self._done.pop(result.slide_id, None)
        level = "error" if result.status == "failed" else "warning" if result.warnings else "info"
        log_line("slide_finished", level, **result.to_dict())

    def show_report(self, report: JobReport) -> None:
        """Log the end of the job."""
        for slide_id, texts in report.outliers.items():
            log_line("outlier", "warning", slide_id=slide_id, message="; ".join(texts))
        for note in report.notes:
            self.note(note)
        if report.error:
            log_line("error", "error", message=report.error, exit_code=report.exit_code)
        level = "error" if report.exit_code else "info"
        log_line("job_finished", level, **report.summary(), seconds=report.seconds, store=report.store)


def log_error(error: WsiEmbedError, arguments: Sequence[str]) -> None:
    """Log the error that ends a command, with names instead of paths.

    Args:
        error: The error.
        arguments: Arguments of the command line; those with folders are replaced by their last part.
    """
    paths = [
        Path(part) for argument in arguments for part in (argument, argument.partition("=")[2]) if "/" in part
    ]
    names: dict[Location, str] = {path: path.name for path in paths if path.name}
    message = ABSOLUTE.sub("", without_folders(reworded(str(error)), names))
    log_line("error", "error", message=message, exit_code=error.exit_code)


def log_line(event: str, level: str = "info", **fields: Any) -> None:
    """Write one line to standard output, and flush it."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    typer.echo(json_text({"time": now, "level": level, "event": event, **reworded(fields)}))
    sys.stdout.flush()
