"""A store, a model and slides from before the modules moved: what this version makes of them is the same.

`tests/data/store-0.1` was made by wsi-embed 0.1.0 with the options below.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wsi_embed
from wsi_embed.jobs.report import JobReport

DATA = Path(__file__).parent / "data" / "store-0.1"
SLIDES = ("a", "b")
ARRAYS = ("features", "cluster", "cluster_confidence", "coords", "grid", "tissue_fraction")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DATA, tmp_path / "data"))


def embed(folder: Path, out: str, **options: Any) -> JobReport:
    values = {"min_tissue": 0.1, "overlap": 8, "device": "cpu", "workers": 1, **options}
    return wsi_embed.embed(
        folder / "slides.csv",
        folder / out,
        model=folder / "model.onnx",
        roi=folder / "rois",
        **values,
    )


def test_slides_of_an_earlier_store_are_complete(folder: Path) -> None:
    report = embed(folder, "feats.zarr")
    assert [s.status for s in report.slides] == ["skipped", "skipped"]


def test_another_option_is_refused_by_its_name(folder: Path) -> None:
    report = embed(folder, "feats.zarr", min_tissue=0.2)
    assert [s.status for s in report.slides] == ["failed", "failed"]
    assert "min_tissue 0.1 -> 0.2" in (report.slides[0].reason or "")


def test_an_earlier_store_is_sound(folder: Path) -> None:
    assert wsi_embed.verify(folder / "feats.zarr") == []


def test_the_same_slides_give_the_same_arrays_and_settings(folder: Path) -> None:
    assert embed(folder, "again.zarr").exit_code == 0
    before, now = (wsi_embed.open_store(folder / name) for name in ("feats.zarr", "again.zarr"))
    assert before.attrs["settings"] == now.attrs["settings"]
    for slide_id in SLIDES:
        old, new = before[slide_id], now[slide_id]
        for name in ARRAYS:
            assert np.array_equal(getattr(old, name), getattr(new, name)), name
        assert old.attrs["settings"] == new.attrs["settings"]
        assert old.attrs["settings_fingerprint"] == new.attrs["settings_fingerprint"]
