"""JSON lines for a container's log: every line is an event, errors included."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest

from tests.job_tools import invoke, make_model, make_slides
from wsi_embed.cli.log import PROGRESS_SECONDS, JsonDisplay


def events(stdout: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in stdout.splitlines()]
    for line in lines:
        assert datetime.datetime.fromisoformat(line["time"]).utcoffset() == datetime.timedelta(0)
        assert line["level"] in ("info", "warning", "error")
    return lines


def test_a_job_is_a_sequence_of_events(tmp_path: Path) -> None:
    slides, model = make_slides(tmp_path / "slides"), make_model(tmp_path / "model")
    (slides / "empty.svs").touch()
    done = invoke(slides, "--out", tmp_path / "f.zarr", "--model", model, "--log-json")
    assert done.returncode == 1
    assert done.stderr == ""
    lines = events(done.stdout)
    names = [line["event"] for line in lines]
    assert names[0] == "job_started"
    assert names[-1] == "job_finished"
    assert names.count("slide_finished") == 4
    last = {"done": 3, "failed": 1, "exit_code": 1, "level": "error", "store": "f.zarr"}
    assert {name: lines[-1][name] for name in last} == last
    failed = next(x for x in lines if x["event"] == "slide_finished" and x["level"] == "error")
    assert failed["slide_id"] == "empty"
    assert "copy it again" in failed["reason"]
    assert str(tmp_path) not in done.stdout


@pytest.mark.parametrize("how", ["flag", "environment"])
def test_usage_errors_are_events_too(how: str, tmp_path: Path) -> None:
    flag = ["--log-json"] if how == "flag" else []
    env = {"WSI_EMBED_LOG_JSON": "1"} if how == "environment" else {}
    done = invoke(tmp_path / "nothing", "--out", tmp_path / "f.zarr", *flag, env=env)
    assert done.returncode == 2
    (line,) = events(done.stdout)
    assert (line["event"], line["level"], line["exit_code"]) == ("error", "error", 2)
    assert "no such file or folder" in line["message"]
    assert done.stderr == ""


def test_a_long_slide_says_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    display = JsonDisplay()
    display.slide_started("a", 1000)
    for _ in range(10):
        now += PROGRESS_SECONDS / 4
        display.tiles_done("a", 100)
    lines = [line for line in events(capsys.readouterr().out) if line["event"] == "progress"]
    assert [(x["tiles_done"], x["tiles"]) for x in lines] == [(400, 1000), (800, 1000)]


def test_a_mistyped_setting_in_the_environment_is_noticed(tmp_path: Path) -> None:
    slides, model = make_slides(tmp_path / "slides", count=1), make_model(tmp_path / "model")
    env = {"WSI_EMBED_MIN_TISUE": "0.5", "WSI_EMBED_PORT_80_TCP": "tcp://10.0.0.1:80"}
    done = invoke(slides, "--out", tmp_path / "f.zarr", "--model", model, env=env)
    notes = [line for line in done.stdout.splitlines() if line.startswith("note:")]
    assert notes == ["note: WSI_EMBED_MIN_TISUE is set, but is no option; did you mean WSI_EMBED_MIN_TISSUE?"]
