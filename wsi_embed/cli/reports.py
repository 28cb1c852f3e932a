"""Report files of the option `--report`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from wsi_embed.errors import UsageError, WsiEmbedError
from wsi_embed.jobs.listener import DrawPreview
from wsi_embed.jobs.report import JobReport

SUFFIXES = (".json", ".html")


def check_reports(reports: Sequence[Path]) -> None:
    """Check, before hours of work, that the report files can be written and have a known format.

    Raises:
        UsageError: If a report cannot be written, or has an unknown suffix.
    """
    for report in reports:
        if report.is_dir() or report.suffix.lower() not in SUFFIXES:
            what = "is a folder" if report.is_dir() else "ends neither in .json nor in .html"
            raise UsageError(
                what, where=f"--report {report}", remedy="give a file like report.json or report.html"
            )
        try:
            report.parent.mkdir(parents=True, exist_ok=True)
            writable = os.access(report.parent, os.W_OK)
        except OSError:
            writable = False
        if not writable:
            raise UsageError(
                "cannot be written there", where=f"--report {report}", remedy="choose another place"
            )


def wants_pictures(reports: Sequence[Path]) -> bool:
    """Return whether a report has pictures."""
    return any(report.suffix.lower() == ".html" for report in reports)


def preview() -> DrawPreview:
    """Return the function that draws slides before their tiles are read."""
    from wsi_embed.plot.preview import draw_preview

    return draw_preview


def write_reports(
    done: JobReport, reports: Sequence[Path], slides: Sequence[str] = (), store: str | None = None
) -> None:
    """Write the reports of a job.

    Args:
        done: Report of the job.
        reports: Files to write.
        slides: Slides of the job, for pictures.
        store: Store of the job; None for reports without pictures.

    Raises:
        WsiEmbedError: If a file cannot be written; its exit code is that of the job, unless that is 0.
    """
    for report in reports:
        try:
            if report.suffix.lower() == ".html":
                _write_html(done, report, slides, store)
            else:
                done.write(report)
        except WsiEmbedError as error:
            error.exit_code = done.exit_code or 1
            raise


def _write_html(done: JobReport, report: Path, slides: Sequence[str], store: str | None) -> None:
    from wsi_embed.inputs.slides import find_slides
    from wsi_embed.plot.report_page import write_html
    from wsi_embed.plot.report_pictures import draw_slides, previews

    if drawn := previews(done):
        write_html(done, report, drawn)
        return
    if store is None:
        write_html(done, report)
        return
    found = find_slides(slides, remote=True)
    paths = {item.slide_id: item.path for item in found if item.remote is None}
    pictures, legend = draw_slides(done, paths, store)
    write_html(done, report, pictures, legend)
