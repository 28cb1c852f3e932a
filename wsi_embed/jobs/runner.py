"""Run of a job with an engine, and its report."""

from __future__ import annotations

import datetime
import threading
import time
from dataclasses import replace
from typing import Any

from wsi_embed.jobs.engines import Engine
from wsi_embed.jobs.job import Job
from wsi_embed.jobs.listener import Listener
from wsi_embed.jobs.outliers import find_outliers
from wsi_embed.jobs.report import JobReport
from wsi_embed.util.text import argument


def run_job(
    engine: Engine,
    job: Job,
    model: dict[str, Any],
    began: float,
    listener: Listener | None,
    stop: threading.Event | None,
) -> JobReport:
    """Run a job.

    Args:
        engine: Engine that runs the slides.
        job: Job to run.
        model: Facts about the model for the report; empty without one.
        began: Start of the user's call, by `time.perf_counter`.
        listener: Listener for the job's progress.
        stop: Event that stops the job early.

    Returns:
        Report of the job.
    """
    now = datetime.datetime.now(datetime.UTC)
    started = now - datetime.timedelta(seconds=time.perf_counter() - began)
    stop, listener = stop or threading.Event(), listener or Listener()
    job = replace(job, preview=listener.preview)
    report = JobReport(job.out.name, model, job.to_dict(), job.versions)
    report.started = started.isoformat(timespec="seconds")
    report.slides = engine.run(job, listener, stop)
    report.notes += _unused_columns(job)
    report.outliers = find_outliers(report.slides)
    report.stopped = stop.is_set() and report.count("stopped") > 0
    if job.options.too_many(report.count("failed")) and report.count("stopped") and not report.stopped:
        report.error = (
            f"more slides failed than {argument('max_failures', job.options.max_failures)} allows, so the "
            "job was stopped; mend the cause and run the same command again"
        )
    report.seconds = round(time.perf_counter() - began, 3)
    return report


def _unused_columns(job: Job) -> list[str]:
    """Return a note on each column of a manifest whose magnifications are not used."""
    columns = {item.magnification: None for item in job.slides if item.magnification}
    return [
        f"the manifest's column {column!r} is not used: resolutions come from the slides' metadata, or from "
        "a column `mpp` (um per pixel of level 0; 20x is about 0.5)"
        for column in columns
    ]
