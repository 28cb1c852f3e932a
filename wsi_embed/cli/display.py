"""Display of a job: progress bars on a terminal, plain lines in a log, a table at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from wsi_embed.cli.lasting_output import discard
from wsi_embed.cli.lines import print_line
from wsi_embed.cli.log import JsonDisplay
from wsi_embed.cli.wording import in_flags
from wsi_embed.jobs.listener import Listener
from wsi_embed.jobs.report import COMPLETE, JobReport, SlideResult, shown_name
from wsi_embed.util.text import counted, percent

PLAN = ("tiles", "level", "um/px", "tissue", "nearly empty")
WORK = ("tiles", "tiles/s", "read s", "encode s", "write s")
# Largest number of slides that are listed one by one at the end.
LISTED = 30


class JobConsole(Console):
    """Console that ignores a closed pipe (`| head`), which is no error.

    Emoji codes are off: a slide's name may contain colons.
    """

    def __init__(self) -> None:
        super().__init__(emoji=False)

    def on_broken_pipe(self) -> None:
        """Discard further output."""
        self.quiet = True
        discard(sys.stdout)


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
        """Print the table at the end of a job."""
        show_report(report)

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
    return f"{result.status}: {result.reason}"


def show_report(report: JobReport) -> None:
    """Print the table at the end of a job."""
    console = JobConsole()
    shown = [s for s in report.slides if s.status == "failed"]
    if len(report.slides) <= LISTED:
        shown = report.slides
    if shown:
        console.print()
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("slide", "status"):
            table.add_column(name, overflow="fold")
        planned = any(result.status == "planned" for result in shown)
        for name in PLAN if planned else WORK:
            table.add_column(name, justify="right")
        for result in shown[:LISTED]:
            table.add_row(*_row(result, planned))
        console.print(table)
    for result in [s for s in report.slides if s.traceback][:3]:
        print_line(console, result.traceback or "")
    names = {result.slide_id: shown_name(result) for result in report.slides}
    for slide_id, texts in list(report.outliers.items())[:LISTED]:
        line = f"to look at: {names.get(slide_id, slide_id)}: {'; '.join(texts)}"
        print_line(console, line)
    for line in (*report.notes, _summary(report)):
        print_line(console, line)


def _row(result: SlideResult, planned: bool) -> list[str]:
    seconds = result.seconds
    total = seconds.get("total", 0.0)
    if planned:
        shares = ["" if share is None else percent(share) for share in (result.tissue, result.near_empty)]
        figures = [
            f"{value:g}" if value is not None else "" for value in (result.read_level, result.mpp)
        ] + shares
    else:
        rate = f"{result.tiles / total:.0f}" if total and result.status == "done" else ""
        stages = ("read", "encode", "write")
        figures = [rate, *(f"{seconds[name]:.1f}" if name in seconds else "" for name in stages)]
    known = result.status in ("done", "planned") or result.reason == COMPLETE
    colour = {"failed": "red", "done": "green"}.get(result.status)
    word = (
        "complete"
        if result.reason == COMPLETE
        else "left out"
        if result.status == "skipped"
        else result.status
    )
    status = f"[{colour}]{word}[/]" if colour else word
    return [escape(shown_name(result)), status, f"{result.tiles:,}" if known else "", *figures]


def _summary(report: JobReport) -> str:
    names = ("done", "skipped", "failed", "stopped", "planned")
    counts = [f"{report.count(n)} {n}" for n in names if report.count(n)]  # type: ignore[arg-type]
    if report.slides and all((s.status, s.reason) == ("skipped", COMPLETE) for s in report.slides):
        done = f"{counted(len(report.slides), 'slide')} complete in {report.store} already"
        return f"nothing to do: {done}; delete the folder of a slide in it to redo that slide"
    planned = report.planned_tiles
    made = f"{counted(report.tiles, 'tile')} in {report.seconds:.1f} s"
    tiles = f"{counted(planned, 'tile')} would be made" if planned else made
    text = f"{', '.join(counts) or 'no slides'}; {tiles}"
    # of the slides of this run, as the tiles are
    if poor := sum(result.poor_tiles for result in report.slides if result.status != "skipped"):
        text += f" ({counted(poor, 'tile')} beyond the limits of quality left out)"
    text += f" -> {report.store}"
    if report.error:
        text += f"\nerror: {report.error}"
    if report.stopped:
        text += "\nstopped early; run the same command again to go on"
    return text
