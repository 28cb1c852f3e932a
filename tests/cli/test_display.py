"""What people see: bars on a terminal, plain lines in a log."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

import wsi_embed.cli
from wsi_embed.cli.display import BarDisplay, PlainDisplay, outcome
from wsi_embed.cli.job_end import show_report
from wsi_embed.cli.lines import JobConsole, say
from wsi_embed.cli.tables import show_facts
from wsi_embed.jobs.report import JobReport, SlideResult

DONE = SlideResult(
    "a__b", "a/b.svs", "done", 160, seconds={"total": 2.0, "read": 0.5, "encode": 1.4, "write": 0.1}
)
FAILED = SlideResult("c", "c.svs", "failed", reason="c.svs: [red]not[/] a slide")


def play(display: PlainDisplay) -> None:
    with display:
        display.job_started(2, "tiny on cpu")
        display.slide_started("a__b", 160)
        display.tiles_done("a__b", 160)
        display.slide_finished(DONE)
        display.slide_finished(FAILED)


def test_bars_show_slides_rate_and_time_left() -> None:
    out = io.StringIO()
    play(BarDisplay(Console(file=out, force_terminal=True, width=120)))
    text = out.getvalue()
    assert "160/160" in text
    assert "2/2" in text
    assert "tiles/s" in text
    assert "\x1b[" in text


def test_plain_lines_are_numbered_and_plain() -> None:
    out = io.StringIO()
    play(PlainDisplay(Console(file=out, width=60)))
    assert out.getvalue().splitlines() == [
        "2 slides; tiny on cpu",
        "[1/2] a__b: 160 tiles in 2.0 s, 80 tiles/s",
        "[2/2] c: failed: c.svs: [red]not[/] a slide",
    ]


def test_every_status_has_words() -> None:
    for status in ("done", "skipped", "failed", "stopped", "planned"):
        assert outcome(SlideResult("x", "x.svs", status, reason="why"))


def test_the_end_table_names_counts_and_what_to_do(capsys: object) -> None:
    report = JobReport("f.zarr", {}, {}, {}, [DONE, FAILED, SlideResult("d", "d.svs")], stopped=True)
    show_report(report)
    text = capsys.readouterr().out  # type: ignore[attr-defined]
    assert "1 done, 1 failed, 1 stopped; 160 tiles" in text
    assert "run the same command again" in text


def test_a_long_job_lists_only_its_failures(capsys: object) -> None:
    many = [SlideResult(f"s{i}", f"s{i}.svs", "done", 1) for i in range(40)]
    show_report(JobReport("f.zarr", {}, {}, {}, [*many, FAILED]))
    text = capsys.readouterr().out  # type: ignore[attr-defined]
    assert "s7 " not in text
    assert "failed" in text


def test_a_log_has_the_figures_of_a_slide_once(capsys: pytest.CaptureFixture[str]) -> None:
    complete = SlideResult("d", "d.svs", "skipped", 7, reason="complete already")
    report = JobReport("f.zarr", {}, {}, {}, [DONE, FAILED, complete], seconds=2.5)
    PlainDisplay(Console(file=io.StringIO())).show_report(report)
    assert capsys.readouterr().out.splitlines() == [
        "failed slides: c",
        "all slides: read 0.5 s, encode 1.4 s, write 0.1 s (the stages overlap)",
        "1 done, 1 complete, 1 failed; 160 tiles in 2.5 s -> f.zarr",
    ]


def test_the_plan_of_a_dry_run_is_a_table_in_a_log_too(capsys: pytest.CaptureFixture[str]) -> None:
    planned = SlideResult("d", "d.svs", "planned", 7, tissue=0.4, mpp=0.25, read_level=1)
    PlainDisplay(Console(file=io.StringIO())).show_report(JobReport("f", {}, {}, {}, [planned]))
    assert "planned      7      1   0.25  40.0 %" in capsys.readouterr().out


def test_a_failure_does_not_repeat_the_name_of_its_line() -> None:
    failed = SlideResult("c", "c.svs", "failed", reason="c.svs: is empty; copy it", problem="is empty")
    assert outcome(failed) == "failed: is empty"
    failed.remedy = "copy it"
    assert outcome(failed) == "failed: is empty; copy it"


@pytest.mark.parametrize(("width", "figures"), [(80, True), (40, False)])
def test_the_table_fits_the_terminal(
    width: int, figures: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    show_report(JobReport("f.zarr", {}, {}, {}, [DONE, FAILED]))
    text = capsys.readouterr().out
    rows = [line for line in text.splitlines() if line.startswith(("a__b", "c "))]
    assert [row.split()[1] for row in rows] == ["done", "failed"]  # whole words
    assert ("encode s" in text) == figures
    assert all(len(line) <= width for line in text.splitlines()[:4])


def test_a_narrow_table_wraps_figures_before_names(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    row = {
        "slide": "CMU-1-Small-Region",
        "tiles": 59,
        "mpp": 0.499,
        "tile (level 0)": 224,
        "clusters used": 8,
    }
    show_facts({}, [row | {"largest clusters": "12: 20 %, 1: 19 %, 26: 14 %"}])
    text = capsys.readouterr().out
    assert "\nCMU-1-Small-Region " in text
    assert all(word in text for word in ("clusters used", "26: 14 %"))
    assert " ".join(text.split()).count("largest") == 1
    assert max(map(len, text.splitlines())) <= 80


def test_names_are_whole_in_a_pipe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    row = {"slide": "a_name_of_forty_characters_or_so_for_a_slide", "clusters": "12: 20 %, 1: 19 %, 26: 14 %"}
    show_facts({}, [row | {"tile (level 0)": 224, "patient": "of_the_third_hospital"}])
    last = capsys.readouterr().out.splitlines()[-1]
    assert all(str(value) in last for value in row.values())


def test_sentences_are_wrapped_by_words_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "2 of 3 slides given are not complete in the store: first_slide, second_slide"
    monkeypatch.setenv("COLUMNS", "40")
    say(text)
    assert capsys.readouterr().out == f"{text}\n"
    monkeypatch.setenv("FORCE_COLOR", "1")
    say(text)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 1
    assert " ".join(line.strip() for line in lines) == text
    assert all(len(line) <= 40 for line in lines)


def test_a_name_that_looks_like_a_picture_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    JobConsole().print("unknown:trident:uni")
    assert capsys.readouterr().out == "unknown:trident:uni\n"


HOSTILE = SlideResult(
    "x%1B", "\x1b[2Jx\nline.svs", "failed", reason="why", traceback="Traceback:\n\x1b[31mred", tiles=0
)


@pytest.mark.parametrize("display", [PlainDisplay, BarDisplay])
def test_names_do_not_control_the_terminal(
    display: type[PlainDisplay], capsys: pytest.CaptureFixture[str]
) -> None:
    out = io.StringIO()
    shown = display(Console(file=out, width=100))
    with shown:
        shown.job_started(1, "tiny\x1b]0;title\x07")
        shown.note("\x1b[2J")
        shown.slide_finished(HOSTILE)
    show_report(JobReport("f\x1b.zarr", {}, {}, {}, [HOSTILE], outliers={"x%1B": ["\x9b2J"]}, notes=["\x1b"]))
    text = out.getvalue() + capsys.readouterr().out
    assert r"\x1b[2Jx\nline.svs: failed: why" in text
    assert not {"\x1b", "\x07", "\x9b"} & set(text)


def test_tables_do_not_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show_facts({"licence": "\x1b[2J", "names": ["\x1b"], "of": {"a": "\x1b"}}, [{"class": "\x1b[31m"}])
    assert "\x1b" not in capsys.readouterr().out


def test_commands_print_names_by_functions_that_show_control_characters() -> None:
    folder = Path(wsi_embed.cli.__file__).parent
    allowed = {"lines.py", "log.py"}  # the functions themselves, and JSON
    others = [path for path in folder.rglob("*.py") if path.name not in allowed]
    assert len(others) > 20
    for path in others:
        for call in re.findall(r"typer\.echo\(\s*(\w*)", path.read_text("utf-8")):
            assert call == "json_text", f"{path.name}: use echo() of wsi_embed.cli.lines"
