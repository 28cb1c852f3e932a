"""End of a job: a table of its slides, what to look at, and totals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from wsi_embed.cli.lines import NARROW, JobConsole, print_line
from wsi_embed.jobs.report import COMPLETE, JobReport, SlideResult, shown_name
from wsi_embed.util.text import counted, names_of, percent

PLAN = ("tiles", "level", "um/px", "tissue", "nearly empty")
WORK = ("tiles", "tiles/s", "read s", "encode s", "write s")
WORDS = ("done", "complete", "left out", "failed", "stopped", "planned")
STAGES = ("read", "encode", "write")
# Largest number of slides that are listed one by one.
LISTED = 30


def show_report(report: JobReport, *, only_failures: bool = False) -> None:
    """Print the end of a job.

    Args:
        report: Report of the job.
        only_failures: Whether the slides that are done were printed before, and are left out of the table.
    """
    console = JobConsole()
    planned = report.count("planned") > 0
    shown = [s for s in report.slides if s.status == "failed"]
    if len(report.slides) <= LISTED and (planned or not only_failures):
        shown = report.slides
    if shown and (len(shown) > report.count("failed") or not only_failures):
        _print_table(console, shown[:LISTED], planned)
    elif shown:
        print_line(console, f"failed slides: {names_of(map(shown_name, shown), LISTED)}")
    for result in [s for s in report.slides if s.traceback][:3]:
        print_line(console, result.traceback or "")
    names = {result.slide_id: shown_name(result) for result in report.slides}
    for slide_id, texts in list(report.outliers.items())[:LISTED]:
        line = f"to look at: {names.get(slide_id, slide_id)}: {'; '.join(texts)}"
        print_line(console, line)
    for line in (*report.notes, *_stage_totals(report), _summary(report)):
        print_line(console, line)


def _print_table(console: JobConsole, shown: Sequence[SlideResult], planned: bool) -> None:
    console.print()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("slide", overflow="fold")
    table.add_column("status", no_wrap=True)
    figures = (PLAN if planned else WORK)[: None if console.width >= NARROW else 1]
    for name in figures:
        table.add_column(name, justify="right", no_wrap=True)
    for result in shown:
        table.add_row(*_row(result, planned)[: 2 + len(figures)])
    console.print(table)


def _stage_totals(report: JobReport) -> list[str]:
    """Return a line with the seconds of each stage over all slides, if any slide was processed."""
    totals = {name: sum(s.seconds.get(name, 0.0) for s in report.slides) for name in STAGES}
    shown = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in totals.items() if seconds)
    return [f"all slides: {shown} (the stages overlap)"] if report.tiles and shown else []


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
        figures = [rate, *(f"{seconds[name]:.1f}" if name in seconds else "" for name in STAGES)]
    known = result.status in ("done", "planned") or result.reason == COMPLETE
    colour = {"failed": "red", "done": "green"}.get(result.status)
    word = _status_word(result)
    status = f"[{colour}]{word}[/]" if colour else word
    return [escape(shown_name(result)), status, f"{result.tiles:,}" if known else "", *figures]


def _status_word(result: SlideResult) -> str:
    """Return the status of a slide; skipped slides are either complete already or left out."""
    if result.status != "skipped":
        return result.status
    return "complete" if result.reason in (None, COMPLETE) else "left out"


def _summary(report: JobReport) -> str:
    words = Counter(_status_word(result) for result in report.slides)
    counts = [f"{words[word]} {word}" for word in WORDS if words[word]]
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
