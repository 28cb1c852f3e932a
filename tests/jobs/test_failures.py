from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from wsi_embed.errors import SlideError
from wsi_embed.jobs.failures import record_failure, without_folders
from wsi_embed.jobs.report import SlideResult
from wsi_embed.storage import Location


def fail(error: BaseException, names: dict[Location, str]) -> SlideResult:
    result = SlideResult("a", "batch/a.svs", "stopped", 7)
    record_failure(result, error, names)
    assert (result.status, result.tiles) == ("failed", 0)
    return result


def test_a_path_is_called_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "Jane Doe" / "batch" / "a.svs"
    result = fail(SlideError(f"{path}: cannot be read; copy it again"), {path: "batch/a.svs"})
    assert result.reason == "batch/a.svs: cannot be read; copy it again"
    assert result.traceback is None


def test_files_beside_it_lose_their_folder(tmp_path: Path) -> None:
    path = tmp_path / "a.mrxs"
    text = without_folders(f"{tmp_path}/a/Slidedat.ini: gone", {path: "a.mrxs"})
    assert text == "a/Slidedat.ini: gone"


def test_relative_and_linked_paths_are_found_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path)
    relative = Path("link/a.svs")
    for form in ("link/a.svs", f"{tmp_path}/link/a.svs", f"{tmp_path}/real/a.svs"):
        assert without_folders(f"{form}: bad", {relative: "a.svs"}) == "a.svs: bad"


def test_the_home_folder_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/jane")
    assert without_folders("cannot open /home/jane/x.bin", {}) == "cannot open ~/x.bin"


def test_a_bug_keeps_its_traceback_without_this_machines_folders(tmp_path: Path) -> None:
    path = tmp_path / "a.svs"
    try:
        np.zeros(3).reshape(int(os.fspath("2")), 2)  # an error out of a library
    except ValueError as error:
        error.add_note(f"while reading {path}")
        result = fail(error, {path: "a.svs"})
    assert str(result.reason).startswith("batch/a.svs: unexpected ValueError: cannot reshape")
    assert "test_failures.py" in str(result.traceback)
    assert "while reading a.svs" in str(result.traceback)
    assert str(tmp_path) not in str(result.traceback)
    assert str(Path(__file__).parents[2]) not in str(result.traceback)


def test_too_little_memory_is_no_bug() -> None:
    result = fail(MemoryError(), {})
    assert "`workers=`" in str(result.reason)
    assert result.traceback is None


def test_messages_of_a_slide_are_one_printable_line() -> None:
    assert str(SlideError("a.svs: \x1b[31mred\nand\ud800 µm")) == "a.svs: \\x1b[31mred\\nand\\ud800 µm"
    text = str(SlideError("a.svs: " + "x" * 5000 + "; copy it again"))
    assert len(text) <= 1000
    assert text.startswith("a.svs: xx")
    assert text.endswith("; copy it again")


def test_what_is_wrong_and_what_to_do_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "batch" / "a.svs"
    names: dict[Location, str] = {path: "batch/a.svs"}
    error = SlideError("cut off; at the end", where=path, remedy=f"copy {path} again; all of it")
    result = fail(error, names)
    assert result.reason == "batch/a.svs: cut off; at the end; copy batch/a.svs again; all of it"
    assert (result.problem, result.remedy) == ("cut off; at the end", "copy batch/a.svs again; all of it")
    assert fail(error.replace(where="a.svs"), names).problem == "cut off; at the end"
    assert fail(error.replace(where="a.xml"), names).problem == "a.xml: cut off; at the end"
    assert fail(error.replace(where=None, remedy=None), names).remedy is None


def test_a_slide_that_memory_does_not_suffice_for_says_what_may_help() -> None:
    result = fail(MemoryError(), {})
    assert result.problem == "not enough memory"
    assert "workers" in str(result.remedy)
    assert result.traceback is None
