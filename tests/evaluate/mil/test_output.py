"""Files of an evaluation on bags, when it is killed while it writes them."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path

import pytest

pytest.importorskip("torchmil")

from tests.evaluate.mil.made import bags_of, witnessed
from tests.killed import killed
from wsi_embed.evaluate.mil.output import check_mil_folder, write_mil
from wsi_embed.evaluate.mil.run import evaluate_mil
from wsi_embed.evaluate.mil.settings import MilSettings


def test_what_was_killed_is_no_earlier_evaluation(tmp_path: Path) -> None:
    made = witnessed(tmp_path / "f.zarr", 12)
    found = evaluate_mil(made.store, bags_of(made.labels), MilSettings("mean"), folds=2)
    whole = {path.name for path in write_mil(found, made.store, tmp_path / "whole")}
    assert whole == {"scores.json", "predictions.csv", "confusion.png"}
    for write in itertools.count(1):
        folder = tmp_path / str(write)
        if not killed(folder, write, functools.partial(write_mil, found, made.store, folder)):
            break
        if not (folder / "scores.json").exists():
            check_mil_folder(folder, "mean", overwrite=False)
            write_mil(found, made.store, folder)
        assert whole <= {path.name for path in folder.iterdir()}
    assert write > 4


def test_what_was_killed_while_it_replaced_another_is_none_either(tmp_path: Path) -> None:
    made = witnessed(tmp_path / "f.zarr", 12)
    found = evaluate_mil(made.store, bags_of(made.labels), MilSettings("mean"), folds=2)
    write_mil(found, made.store, tmp_path / "out")
    assert killed(tmp_path / "out", 3, lambda: write_mil(found, made.store, tmp_path / "out"))
    check_mil_folder(tmp_path / "out", "mean", overwrite=False)
