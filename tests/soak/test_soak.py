"""The soak test itself, with a few cases of each kind, and with a program that is wrong."""

from __future__ import annotations

import time

import pytest

from tests.soak.cases import Soak
from tests.soak.run import soak


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Soak:
    return Soak(tmp_path_factory.mktemp("soak"), seed=1)


def test_a_few_of_each_kind(made: Soak, capsys: pytest.CaptureFixture[str]) -> None:
    assert soak(made, {"kills": 2, "faults": 2, "flips": 4}, 600) == (0, "")
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "| all | 2 | 2 | 4 |",
        "8 cases, 0 wrong, 0 of them without an end",
    ]


def test_it_goes_on_from_where_time_was_over(made: Soak, capsys: pytest.CaptureFixture[str]) -> None:
    assert soak(made, {"kills": 2, "faults": 2, "flips": 2}, -1) == (0, "kills:0")
    assert soak(made, {"kills": 2, "faults": 2, "flips": 2}, 600, "flips:1") == (0, "")
    assert capsys.readouterr().out.splitlines()[-2] == "| all | 0 | 0 | 1 |"


def test_what_is_wrong_is_found(
    made: Soak, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("wsi_embed.verify", lambda store: [])
    assert soak(made, {"flips": 1}, 600) == (1, "")
    assert "verify does not find a bit of byte" in capsys.readouterr().out


def test_a_case_without_end_is_wrong(
    made: Soak, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tests.soak.run.SECONDS", 1)
    monkeypatch.setitem(made.kinds, "flips", lambda rng, out: time.sleep(30))
    assert soak(made, {"flips": 1}, 600) == (1, "")
    assert "flips:0 without an end: no end within 1 s" in capsys.readouterr().out


def test_a_case_is_the_same_again(made: Soak, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(made.kinds, "flips", lambda rng, out: (str(rng.random()), None))
    drawn = [made.case("flips", number)[0] for number in (3, 4, 3)]
    assert drawn[0] == drawn[2] != drawn[1]
