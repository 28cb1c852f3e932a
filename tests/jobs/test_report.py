"""The report: exit codes and JSON."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

import wsi_embed
from tests.job_tools import make_model, make_slides
from wsi_embed.errors import WsiEmbedError
from wsi_embed.jobs.report import JobReport, SlideResult, Status
from wsi_embed.plot.report_page import write_html


def report(*statuses: Status, stopped: bool = False) -> JobReport:
    slides = [SlideResult(str(i), f"{i}.svs", s, tiles=10) for i, s in enumerate(statuses)]
    return JobReport("f.zarr", {}, {}, {}, slides, stopped=stopped)


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (report("done", "skipped"), 0),
        (report(), 0),
        (report("done", "failed"), 1),
        (report("done", "stopped", stopped=True), 75),
        (report("failed", "stopped", stopped=True), 75),
    ],
)
def test_exit_codes(found: JobReport, code: int) -> None:
    assert found.exit_code == code


def test_only_what_this_job_encoded_counts_as_tiles() -> None:
    assert report("done", "skipped", "failed").tiles == 10


def test_json_holds_everything(tmp_path: Path) -> None:
    report("done", "failed").write(tmp_path / "sub" / "r.json")
    found = json.loads((tmp_path / "sub" / "r.json").read_text())
    assert found["summary"]["failed"] == 1
    assert [s["slide"] for s in found["slides"]] == ["0.svs", "1.svs"]
    assert [p.name for p in (tmp_path / "sub").iterdir()] == ["r.json"]


def test_a_report_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WsiEmbedError, match="cannot be written"):
        report("done").write(tmp_path / "file" / "r.json")


def test_its_representation_is_one_line() -> None:
    slides = [SlideResult("a", "a.svs", "done", 1234), SlideResult("b", "b.svs", "failed")]
    assert repr(JobReport("f.zarr", {}, {}, {}, slides)) == (
        "<JobReport of f.zarr: 1 done, 1 failed; 1,234 tiles>"
    )
    assert repr(JobReport("f.zarr", {}, {}, {})) == "<JobReport of f.zarr: no slides; 0 tiles>"


def test_copies_are_named_by_the_first_run_and_by_later_ones(tmp_path: Path) -> None:
    slides, model = make_slides(tmp_path / "slides", count=3, side=200), make_model(tmp_path)
    shutil.copy(slides / "s0.tif", slides / "z.tif")
    first, again = (wsi_embed.embed(slides, tmp_path / "f.zarr", model=model) for _ in range(2))
    assert [s.status for s in again.slides] == ["skipped"] * 4
    for report in (first, again):
        copies = {name for name, texts in report.outliers.items() if "has the content of s0" in str(texts)}
        assert copies == {"z"}


def test_a_store_whose_name_is_no_utf_8_has_reports(tmp_path: Path) -> None:
    name = os.fsdecode(b"st\xe9.zarr")
    found = JobReport(name, {}, {}, {}, [SlideResult("a", "a.svs", "done", 3)])
    write_html(found, tmp_path / "r.html")
    assert "<h1>st\\udce9.zarr</h1>" in (tmp_path / "r.html").read_text("utf-8")
    found.write(tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text("utf-8"))["store"] == name
