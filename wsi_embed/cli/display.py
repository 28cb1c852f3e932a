"""Display of a job: progress bars on a terminal, plain lines in a log."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from wsi_embed.cli.job_end import show_report
from wsi_embed.cli.lines import JobConsole, print_line
from wsi_embed.cli.log import JsonDisplay
from wsi_embed.cli.wording import in_flags
from wsi_embed.jobs.listener import Listener
from wsi_embed.jobs.report import COMPLETE, JobReport, SlideResult, shown_name
from wsi_embed.util.text import counted


class PlainDisplay(Listener):
    """Listener that prints one line per slide, for logs and pipes.

    Args:
        console: Console to print to.
        notes: Remarks to print when the job starts.
    """

    def __init__(self, console: Console, notes: Sequence[str] = ()) -> None:
        self.console, self._notes = console, notes
        self._total = self._finished = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def job_started(self, slides: int, how: str) -> None:
        """Print the number of slides, and what processes them."""
        self._total = slides
        for note in self._notes:
            self.note(note)
        self._line(f"{counted(slides, 'slide')}; {how}")

    def slide_started(self, slide_id: str, tiles: int) -> None:
        """Print nothing until the slide is finished."""

    def tiles_done(self, slide_id: str, count: int) -> None:
        """Print nothing."""

    def waiting(self, slides: int) -> None:
        """Print what the job is waiting for."""
        self._line(f"waiting for {counted(slides, 'slide')} that another process is writing")

    def note(self, text: str) -> None:
        """Print a remark."""
        self._line(f"note: {text}")

    def slide_finished(self, result: SlideResult) -> None:
        """Print the result of a slide."""
        self._finished += 1
        self._line(f"[{self._finished}/{self._total}] {shown_name(result)}: {outcome(result)}")
        for warning in result.warnings:
            self._line(f"  warning: {warning}")

    def show_report(self, report: JobReport) -> None:
        """Print the end of a job, without the slides' figures, which were printed when each was finished."""
        show_report(report, only_failures=True)

    def _line(self, text: str) -> None:
        print_line(self.console, in_flags(text))


class BarDisplay(PlainDisplay):
    """Listener with two progress bars: slides with tiles per second and time left, and the current slide."""

    def __init__(self, console: Console, notes: Sequence[str] = ()) -> None:
        super().__init__(console, notes)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console,
        )
        self._slides: TaskID | None = None
        self._tiles: TaskID | None = None
        self._count, self._began = 0, time.monotonic()
        self._slide_id, self._slide_count, self._slide_tiles = "", 0, 1

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def job_started(self, slides: int, how: str) -> None:
        """Show the bars."""
        super().job_started(slides, how)
        self._began = time.monotonic()
        self._slides = self._progress.add_task("slides", total=slides, rate="")
        self._tiles = self._progress.add_task("", total=None, rate="tiles", visible=False)

    def slide_started(self, slide_id: str, tiles: int) -> None:
        """Restart the slide's bar."""
        self._slide_id, self._slide_count, self._slide_tiles = slide_id, 0, max(tiles, 1)
        if self._tiles is not None:
            self._progress.reset(self._tiles, total=tiles, description=escape(slide_id[-40:]), visible=True)

    def tiles_done(self, slide_id: str, count: int) -> None:
        """Advance the bars; late tiles of the previous slide count only towards the rate."""
        self._count += count
        current = count if slide_id == self._slide_id else 0
        self._slide_count += current
        rate = f"{self._count / max(time.monotonic() - self._began, 1e-6):.0f} tiles/s"
        if self._tiles is not None and self._slides is not None:
            self._progress.advance(self._tiles, current)
            # count fractions of slides, or the time left would not change during a long slide
            part = self._slide_count / self._slide_tiles
            self._progress.update(self._slides, rate=rate, completed=self._finished + min(part, 0.999))

    def show_report(self, report: JobReport) -> None:
        """Print the end of a job, with a table of the slides."""
        show_report(report)

    def slide_finished(self, result: SlideResult) -> None:
        """Advance the slides' bar; failures and warnings stay on the screen."""
        self._finished += 1
        if self._slides is not None:
            self._progress.update(self._slides, completed=self._finished)
        if result.status == "failed":
            self._line(f"{shown_name(result)}: {outcome(result)}")
        for warning in result.warnings:
            self._line(f"warning: {warning}")


def open_display(log_json: bool, notes: Sequence[str]) -> PlainDisplay | JsonDisplay:
    """Return a display: JSON lines if requested, bars on a terminal, else plain lines."""
    if log_json:
        return JsonDisplay(notes)
    console = JobConsole()
    return (BarDisplay if console.is_terminal else PlainDisplay)(console, notes)


def outcome(result: SlideResult) -> str:
    """Describe a slide's result in a few words."""
    if result.status == "done":
        seconds = result.seconds.get("total", 0.0)
        rate = f", {result.tiles / seconds:.0f} tiles/s" if seconds else ""
        return f"{counted(result.tiles, 'tile')} in {seconds:.1f} s{rate}"
    if result.status == "planned":
        return f"{counted(result.tiles, 'tile')} would be made"
    if result.status == "skipped":
        return f"{COMPLETE}, skipped" if result.reason in (None, COMPLETE) else f"left out: {result.reason}"
    # without the slide's name, which begins the line
    parts = (result.problem, result.remedy) if result.problem else (result.reason,)
    return f"{result.status}: {'; '.join(filter(None, parts))}"
