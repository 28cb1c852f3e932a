from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import wsi_embed
from tests.job_tools import invoke, make_model, make_slides
from wsi_embed.errors import WsiEmbedError
from wsi_embed.jobs.report import JobReport, SlideResult
from wsi_embed.plot import cluster_colour
from wsi_embed.plot.report_page import write_html
from wsi_embed.plot.report_pictures import MOST_PICTURES, draw_slides

EVIL = '<script>alert("x")</script>&'


class Page(HTMLParser):
    """What is on a page: its text, and everything that it would load."""

    void = ("meta", "img", "br")

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text, self.loads, self.open, self.images = "", [], [], 0  # type: ignore[var-annotated]
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value for name, value in attrs if name in ("src", "href", "data")]
        self.images += tag == "img"
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, "tags are nested"

    def handle_data(self, data: str) -> None:
        self.text += f"{data}\n"


def report() -> JobReport:
    slides = [
        SlideResult(
            "good", "good.svs", "done", 120, 0.25, 0.5, 0, {"read": 1.0, "encode": 2.0, "total": 2.5}
        ),
        SlideResult(
            "bad",
            "bad.svs",
            "failed",
            reason="bad.svs: the file is empty; copy it again",
            problem="the file is empty",
            remedy="copy it again",
        ),
        SlideResult(EVIL, EVIL, "failed", reason=EVIL, traceback=f"Traceback {EVIL}"),
        SlideResult("odd", "odd.svs", "done", 0, 0.0, 0.5, warnings=["odd.svs: no tissue found"]),
    ]
    model = {"name": EVIL, "device": "cpu", "demonstration": False}
    return JobReport(
        "f.zarr", model, {"mpp": 0.5}, {"zarr": "3"}, slides, {"good": ["120 tiles, most have 9"]}
    )


def test_a_model_for_non_commercial_use_is_said(tmp_path: Path) -> None:
    made = report()
    write_html(made, tmp_path / "r.html")
    assert "non-commercial" not in Page(tmp_path / "r.html").text
    made.model.update(licence="CC-BY-NC-ND-4.0", non_commercial=True)
    write_html(made, tmp_path / "r.html")
    words = "The model is for non-commercial use only (CC-BY-NC-ND-4.0)."
    assert words in Page(tmp_path / "r.html").text


def test_the_page_says_what_happened_and_what_to_do(tmp_path: Path) -> None:
    write_html(report(), tmp_path / "r.html")
    page = Page(tmp_path / "r.html")
    for words in (
        "the file is empty",
        "copy it again",
        "no tissue found",
        "most have 9",
        "report it with the",
    ):
        assert words in page.text
    assert page.open == []
    assert "<td>bad</td><td>the file is empty</td><td>copy it again</td>" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize(
    ("stopped", "error", "words"),
    [
        (True, None, "run the same command again"),
        (False, f"gave up: {EVIL}", f"gave up: {EVIL}"),
        (False, None, ""),
    ],
)
def test_the_page_says_why_a_job_ended_early(
    stopped: bool, error: str | None, words: str, tmp_path: Path
) -> None:
    told = report()
    told.stopped, told.error = stopped, error
    write_html(told, tmp_path / "r.html")
    page = Page(tmp_path / "r.html")
    assert words in page.text
    assert ("again to go on" in page.text, "gave up" in page.text) == (stopped, bool(error))


def test_nothing_is_loaded_and_no_name_becomes_code(tmp_path: Path) -> None:
    picture = Image.fromarray(np.zeros((4, 6, 3), np.uint8))
    write_html(report(), tmp_path / "r.html", {"good": [(EVIL, picture)]})
    page = Page(tmp_path / "r.html")
    assert page.images == 1
    assert all(value.startswith("data:image/") for value in page.loads)
    text = (tmp_path / "r.html").read_text()
    assert "<script" not in text
    assert not re.search(r"(https?:)?//[a-z]", re.sub(r"data:image[^\"]*", "", text))


def test_an_unwritable_place_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WsiEmbedError, match="cannot be written"):
        write_html(report(), tmp_path / "file" / "r.html")


def test_a_job_writes_both_reports(tmp_path: Path) -> None:
    slides, model = make_slides(tmp_path / "slides"), make_model(tmp_path / "model")
    (slides / "empty.svs").touch()
    args: list[str | Path] = [slides, "--out", tmp_path / "f.zarr", "--model", model]
    reports = [tmp_path / "r.json", tmp_path / "page" / "r.html"]
    for name in ("done", "skipped"):  # a second run draws what is in the store
        done = invoke(*args, "--report", reports[0], "--report", reports[1])
        assert done.returncode == 1, done.stderr
        assert json.loads(reports[0].read_text())["summary"][name] == 3
        page = Page(reports[1])
        assert page.images == 6
        assert "the file is empty (0 bytes)" in page.text
        assert name in page.text
        for path in reports:
            assert str(tmp_path) not in path.read_text()


def test_pictures_are_bounded_and_those_to_look_at_come_first(tmp_path: Path) -> None:
    slides, model = make_slides(tmp_path / "slides", count=1, side=200), make_model(tmp_path / "model")
    done = wsi_embed.embed(slides, tmp_path / "f.zarr", model=model)
    one = done.slides[0]
    done.slides = [SlideResult(f"gone{i}", "x", "done") for i in range(MOST_PICTURES + 5)]
    paths = {f"gone{i}": slides / "gone.tif" for i in range(MOST_PICTURES + 5)} | {
        one.slide_id: slides / "s0.tif"
    }
    assert draw_slides(done, paths, tmp_path / "f.zarr") == ({}, {}), "a slide that is gone has no picture"
    one.warnings = ["look"]
    done.slides.append(one)
    pictures, legend = draw_slides(done, paths, tmp_path / "f.zarr")
    assert list(pictures) == [one.slide_id]
    cluster = wsi_embed.open_store(tmp_path / "f.zarr")[one.slide_id].cluster
    assert cluster is not None
    numbers = sorted(set(cluster[:].tolist()))
    assert legend == {f"cluster {number}": cluster_colour(number) for number in numbers}
    write_html(done, tmp_path / "r.html", pictures, legend)
    text = (tmp_path / "r.html").read_text("utf-8")
    assert f"background:rgb{cluster_colour(numbers[0])}" in text
