"""Result folders of evaluations, and their tables."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from wsi_embed.errors import UsageError
from wsi_embed.evaluate.results import check_results_folder, write_table


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-x", "@sum", "\tx", "\rx", "-1+1", "--1", "-inf"])
def test_formulas_are_written_as_text(text: str, tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", [["p", text], [np.array([text])[0], 1]])
    with (tmp_path / "t.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["p", f"'{text}"], [f"'{text}", "1"]]


def test_other_values_stay_as_they_are(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", [["a-b", "-1", "+2.5", -3, -0.25, None, "", "a=b, c", "'x"]])
    assert (tmp_path / "t.csv").read_bytes() == b'a-b,-1,+2.5,-3,-0.25,,,"a=b, c",\'x\r\n'


def test_a_folder_is_checked_without_being_created(tmp_path: Path) -> None:
    check_results_folder(None)
    check_results_folder(tmp_path)
    check_results_folder(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    with pytest.raises(UsageError, match=r"`out='.*link'`: cannot be written \(Not a directory\)"):
        check_results_folder(tmp_path / "link")
