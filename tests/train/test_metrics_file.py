from __future__ import annotations

from pathlib import Path

import pytest

from wsi_embed_train import curves
from wsi_embed_train.curves import PANELS, draw_curves
from wsi_embed_train.metrics_file import MetricsFile, mean_row, read_metrics


def test_rows_come_back(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "m.csv", 0)
    rows = [{"step": 1.0, "loss": 0.5}, {"step": 2.0, "loss": -1.25e-7}]
    for row in rows:
        file.append(row)
    assert read_metrics(tmp_path / "m.csv") == rows == file.rows


def test_a_resumed_run_drops_what_it_makes_again(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "m.csv", 0)
    for step in range(1, 6):
        file.append({"step": float(step), "loss": 1.0})
    again = MetricsFile(tmp_path / "m.csv", 3)
    again.append({"step": 4.0, "loss": 2.0})
    assert [(row["step"], row["loss"]) for row in read_metrics(tmp_path / "m.csv")] == [
        (1, 1), (2, 1), (3, 1), (4, 2)
    ]  # fmt: skip


def test_a_new_column_may_come_later(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "m.csv", 0)
    file.append({"step": 1.0, "loss": 1.0})
    file.append({"step": 2.0, "loss": 1.0, "knn_f1": 0.5})
    assert read_metrics(tmp_path / "m.csv") == [
        {"step": 1.0, "loss": 1.0}, {"step": 2.0, "loss": 1.0, "knn_f1": 0.5}
    ]  # fmt: skip
    assert [p.name for p in tmp_path.iterdir()] == ["m.csv"]


def test_means_are_of_what_is_there() -> None:
    assert mean_row([{"a": 1.0, "b": 2.0}, {"a": 3.0}]) == {"a": 2.0, "b": 2.0}


def test_curves_are_a_picture_of_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np
    from PIL import Image

    monkeypatch.setattr(curves, "PANELS", PANELS)
    file = MetricsFile(tmp_path / "m.csv", 0)
    for step in range(1, 60):
        file.append({"step": float(step), "loss": 1 / step, "effective_rank": float(step)})
    draw_curves(tmp_path / "m.csv", tmp_path / "two.png", "a run")
    file.append({"step": 60.0, "loss": 0.0, "knn_f1": 0.5, "clusters_used": 7.0})
    draw_curves(tmp_path / "m.csv", tmp_path / "four.png", "a run")
    sizes = []
    for name in ("two.png", "four.png"):
        with Image.open(tmp_path / name) as picture:
            sizes.append(picture.height)
            assert np.asarray(picture.convert("L")).std() > 5
    assert sizes[1] > sizes[0], "four panels need a second line"
