"""What docs/batch.md promises of a job in a container, sentence by sentence."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.job_tools import make_model, make_slides
from wsi_embed.cli import app, main, signals
from wsi_embed.cli.log import JsonDisplay

Run = Callable[..., tuple[int, list[dict[str, Any]]]]
REPORT = "report.json"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a job runs: slides, a model, and all that a container's environment says."""
    make_slides(tmp_path / "slides", count=2, side=160)
    make_model(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WSI_EMBED_LOG_JSON", "1")
    monkeypatch.setenv("WSI_EMBED_REPORT", REPORT)
    return tmp_path


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """The command in this process: exit code, and the lines of standard output, all of them JSON."""

    def call(*args: str, stderr: str = "", **settings: str) -> tuple[int, list[dict[str, Any]]]:
        kind = {"embed": {"WSI_EMBED_MODEL": "model/tiny.onnx"}, "tile": {"WSI_EMBED_TILE_PX": "32"}}[args[0]]
        with monkeypatch.context() as patch:
            for name, value in (kind | settings).items():
                patch.setenv(name, value)
            patch.setattr("sys.argv", ["wsi-embed", *args])
            capfd.readouterr()
            with pytest.raises(SystemExit) as end:
                main()
            out, err = capfd.readouterr()
        assert stderr in err if stderr else not err, err
        assert isinstance(end.value.code, int)
        return end.value.code, [json.loads(line) for line in out.splitlines()]

    return call


def summary(folder: Path) -> dict[str, int]:
    """Of the report."""
    found: dict[str, int] = json.loads((folder / REPORT).read_text())["summary"]
    return found


def terminate(times: int = 1) -> None:
    """As a scheduler does. The main thread hears it, not the one that calls: it gets the time to."""
    for _ in range(times):
        os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.2)


@pytest.mark.parametrize("kind", ["embed", "tile"])
def test_the_environment_can_say_everything(kind: str) -> None:
    commands: Any = typer.main.get_command(app)
    for option in commands.commands[kind].params:
        name = next((text for text in option.opts if text.startswith("--")), None)
        if name not in (None, "--help"):
            assert option.envvar == "WSI_EMBED_" + name[2:].replace("-", "_").upper()


@pytest.mark.parametrize("kind", ["embed", "tile"])
def test_a_job_by_environment_alone_and_once_more(kind: str, run: Run, folder: Path) -> None:
    code, lines = run(kind, "slides", WSI_EMBED_OUT="out")
    assert (code, lines[-1]["event"], lines[-1]["exit_code"]) == (0, "job_finished", 0)
    assert summary(folder)["done"] == 2
    code, lines = run(kind, "slides", WSI_EMBED_OUT="out")
    assert (code, summary(folder)["skipped"], summary(folder)["done"]) == (0, 2, 0)


@pytest.mark.parametrize("kind", ["embed", "tile"])
def test_some_slides_fail(kind: str, run: Run, folder: Path) -> None:
    (folder / "slides" / "empty.svs").touch()
    code, lines = run(kind, "slides", "--out", "out")
    assert (code, lines[-1]["exit_code"], summary(folder)["exit_code"]) == (1, 1, 1)
    assert (summary(folder)["done"], summary(folder)["failed"]) == (2, 1)


@pytest.mark.parametrize("kind", ["embed", "tile"])
@pytest.mark.parametrize("settings", [{}, {"WSI_EMBED_SHARD": "auto"}, {"WSI_EMBED_MAX_FAILURES": "-1"}])
def test_wrong_usage(kind: str, settings: dict[str, str], run: Run, folder: Path) -> None:
    code, lines = run(kind, "slides" if settings else "nothing", "--out", "out", **settings)
    assert code == 2
    assert [(x["event"], x["level"], x["exit_code"]) for x in lines] == [("error", "error", 2)]
    assert not (folder / "out").exists()
    assert not (folder / REPORT).exists()


@pytest.mark.parametrize("given", [("--limit", "few"), ("--limits", "1")])
def test_an_option_that_cannot_be_parsed_is_an_event(run: Run, given: tuple[str, str]) -> None:
    code, lines = run("embed", "slides", "--out", "out", *given)
    assert code == 2
    assert [(x["event"], x["level"], x["exit_code"]) for x in lines] == [("error", "error", 2)]
    assert given[0] in lines[0]["message"]


@pytest.mark.parametrize("kind", ["embed", "tile"])
@pytest.mark.parametrize("times", [1, 2])
def test_told_to_stop(kind: str, times: int, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler may signal the script and the command, and the script passes it on."""

    def tell(self: JsonDisplay, slide_id: str, tiles: int) -> None:
        terminate(times)

    with monkeypatch.context() as patch:
        patch.setattr(JsonDisplay, "slide_started", tell)
        code, lines = run(kind, "slides", "--out", "out")
    assert (code, lines[-1]["event"], lines[-1]["exit_code"]) == (75, "job_finished", 75)
    assert (summary(folder)["stopped"], summary(folder)["exit_code"]) == (2, 75)
    assert run(kind, "slides", "--out", "out")[0] == 0
    assert summary(folder)["done"] == 2


def test_a_second_signal_later_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr(signals.StopSignals, "_exit_now", lambda self: ended.append(75))
    monkeypatch.setattr(signals, "AGAIN_SECONDS", 0.05)
    with signals.job_signals(threading.Event()):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert ended == []
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)
    assert ended == [75]


def test_a_second_signal_while_the_first_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(threading.Event):
        def set(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            super().set()

    ended: list[int] = []
    monkeypatch.setattr(signals.StopSignals, "_exit_now", lambda self: ended.append(75))
    monkeypatch.setattr(signals, "HARD_STOP_SECONDS", 0.3)
    stop = Interrupted()
    with signals.job_signals(stop):
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.is_set()
    time.sleep(0.4)
    assert ended == [], "a clock went on"


def test_too_many_failures(run: Run, folder: Path) -> None:
    for name in ("a", "aa"):
        (folder / "slides" / f"{name}.svs").touch()
    code, lines = run("embed", "slides", "--out", "out", WSI_EMBED_MAX_FAILURES="1")
    assert code == 1
    assert (summary(folder)["failed"], summary(folder)["stopped"]) == (2, 2)
    assert [x["event"] for x in lines][-2:] == ["error", "job_finished"]
    assert "more slides failed than --max-failures 1" in lines[-2]["message"]
    assert run("embed", "slides", "--out", "out")[0] == 1
    assert (summary(folder)["failed"], summary(folder)["done"]) == (2, 2)


def test_a_report_that_cannot_be_written_is_told_and_the_exit_code_stays(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take_its_place(self: JsonDisplay, slide_id: str, tiles: int) -> None:
        (folder / REPORT).mkdir(exist_ok=True)
        terminate()

    monkeypatch.setattr(JsonDisplay, "slide_started", take_its_place)
    code, lines = run("embed", "slides", "--out", "out")
    assert code == 75
    assert [x["event"] for x in lines][-2:] == ["job_finished", "error"]
    assert "the report cannot be written" in lines[-1]["message"]
    assert lines[-1]["exit_code"] == 75
