"""Signs of life of commands that take more than two seconds."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import pytest

from wsi_embed.cli import progress
from wsi_embed.cli.progress import ProgressDisplay
from wsi_embed.util.progress import Watcher, stage, tracked, watched_by


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS", 0.1)
    monkeypatch.setattr(progress, "INTERVAL", 0.1)


class Kept(Watcher):
    """A watcher that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def started(self, what: str, total: int | None) -> None:
        self.told.append((what, total))

    def advanced(self, count: int) -> None:
        self.told.append(count)

    def ended(self) -> None:
        self.told.append("end")


def test_a_loop_is_reported_item_by_item() -> None:
    kept = Kept()
    with watched_by(kept):
        assert list(tracked([7, 8], "things done")) == [7, 8]
    assert kept.told == [("things done", 2), 1, 1, "end"]


def test_only_the_outermost_loop_is_reported() -> None:
    kept = Kept()
    with watched_by(kept):
        for _ in tracked(range(2), "outer"):
            assert list(tracked("ab", "inner")) == ["a", "b"]
    assert kept.told == [("outer", 2), 1, 1, "end"]


def test_a_loop_that_is_left_early_ends() -> None:
    kept = Kept()
    with watched_by(kept):
        assert list(itertools.islice(tracked(iter("abc"), "letters"), 1)) == ["a"]
        list(tracked([1], "next"))
    assert kept.told == [("letters", None), "end", ("next", 1), 1, "end"]


def test_without_a_watcher_nothing_happens() -> None:
    assert list(tracked(iter("ab"), "letters")) == ["a", "b"]


@pytest.mark.usefixtures("soon")
def test_a_log_has_lines_at_intervals(capsys: pytest.CaptureFixture[str]) -> None:
    def slow() -> Iterator[int]:
        for number in range(4):
            time.sleep(0.12)
            yield number

    with ProgressDisplay() as signs, watched_by(signs):
        list(tracked(slow(), "slides verified", 4))
        with stage("writing the model"):
            time.sleep(0.15)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert any(line.startswith(("slides verified: 1 of 4, ", "slides verified: 2 of 4, ")) for line in lines)
    assert any(line.startswith("writing the model, ") for line in lines)


def test_what_is_quick_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressDisplay() as signs, watched_by(signs):
        list(tracked(range(1000), "numbers"))
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("soon")
def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with ProgressDisplay() as signs, watched_by(signs):
        for _ in tracked(range(3), "slides verified"):
            time.sleep(0.15)
    assert "slides verified" in capsys.readouterr().err
