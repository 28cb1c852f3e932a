"""A complete slide is known by its content: what that says is what opening it would have said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import wsi_embed
from tests.job_tools import make_model
from tests.made_profiles import matrix_profile
from tests.made_slides import he_pixels, write_svs, write_tiff
from wsi_embed.jobs import slide_steps
from wsi_embed.slide import Slide

ROI = '{"type": "Polygon", "coordinates": [[[0, 0], [90, 0], [90, 150], [0, 150]]]}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Slides of every kind that matters, and a manifest of them."""
    slides = tmp_path / "slides"
    (slides / "roi").mkdir(parents=True)
    write_tiff(slides / "profile.tif", he_pixels(150, 150), mpp=0.5, profile=matrix_profile())
    write_svs(slides / "plain.svs", he_pixels(150, 150, seed=1), mpp=0.5)
    write_svs(slides / "power.svs", he_pixels(150, 150, seed=2), mpp=None)
    (slides / "roi" / "plain.geojson").write_text(ROI)
    (slides / "m.csv").write_text(
        "path,mpp,roi\nplain.svs,0.5,\npower.svs,,roi/plain.geojson\nprofile.tif,,\n"
    )
    make_model(tmp_path / "model")
    return tmp_path


def nothing(folder: Path) -> None:
    """Leave all as it is."""


def other_content(folder: Path) -> None:
    write_tiff(folder / "slides" / "profile.tif", he_pixels(150, 150, seed=9), mpp=0.5)


def gone(folder: Path) -> None:
    (folder / "slides" / "plain.svs").unlink()


def damaged(folder: Path) -> None:
    document = folder / "f.zarr" / "plain" / "zarr.json"
    content = json.loads(document.read_text())
    content["attributes"]["settings"] = {"slide": "text"}
    document.write_text(json.dumps(content))


# what the first job is asked for, the second, and what happens in between
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], Callable[[Path], None]]] = {
    "the same": ({}, {}, nothing),
    "icc": ({"icc": True}, {"icc": True}, nothing),
    "icc, now": ({}, {"icc": True}, nothing),
    "icc, before": ({"icc": True}, {}, nothing),
    "overlap": ({}, {"overlap": 8}, nothing),
    "overwrite": ({}, {"overlap": 8, "overwrite": True}, nothing),
    "override": ({"mpp_override": 0.5}, {"mpp_override": 0.5}, nothing),
    "override, now": ({}, {"mpp_override": 0.4}, nothing),
    "override, before": ({"mpp_override": 0.5}, {}, nothing),
    "regions": ({"roi": "roi", "roi_missing": "whole"}, {"roi": "roi", "roi_missing": "whole"}, nothing),
    "regions, now": ({}, {"roi": "roi", "roi_missing": "whole"}, nothing),
    "manifest": ({"slides": "m.csv"}, {"slides": "m.csv"}, nothing),
    "manifest, now": ({}, {"slides": "m.csv"}, nothing),
    "other content": ({}, {}, other_content),
    "gone": ({"slides": "m.csv"}, {"slides": "m.csv"}, gone),
    "damaged": ({}, {}, damaged),
}


def job(folder: Path, out: str, slides: str = "", **options: Any) -> list[dict[str, Any]]:
    """All that a job says of its slides, but for the seconds."""
    if "roi" in options:
        options["roi"] = folder / "slides" / options["roi"]
    model = folder / "model" / "tiny.onnx"
    report = wsi_embed.embed(folder / "slides" / slides, folder / out, model=model, **options)
    return [asdict(result) | {"seconds": None} for result in report.slides]


@pytest.mark.parametrize("case", CASES)
def test_content_says_what_opening_says(case: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, now, change = CASES[case]
    job(folder, "f.zarr", **before)
    change(folder)
    shutil.copytree(folder / "f.zarr", folder / "copy.zarr")
    quick = job(folder, "f.zarr", **now)
    monkeypatch.setattr(slide_steps, "matches_committed", lambda *_: False)
    opened = job(folder, "copy.zarr", **now)
    assert json.loads(json.dumps(quick).replace("f.zarr", "copy.zarr")) == opened


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the slides that are opened."""
    names: list[str] = []
    original = wsi_embed.open_slide

    def note(path: Path, *more: Any) -> Slide:
        names.append(path.name)
        return original(path, *more)

    monkeypatch.setattr("wsi_embed.tiling.plan.open_slide", note)
    return names


@pytest.mark.parametrize(
    ("options", "expected"), [({}, ["power.svs"]), ({"icc": True}, ["plain.svs", "power.svs"])]
)
def test_only_what_content_cannot_say_is_opened(
    options: dict[str, Any], expected: list[str], folder: Path, opened: list[str]
) -> None:
    """A resolution from the objective is warned of, and so is a missing profile."""
    job(folder, "f.zarr", **options)
    opened.clear()
    job(folder, "f.zarr", **options)
    assert sorted(opened) == expected


def test_with_other_versions_all_are_opened(
    folder: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another OpenSlide may read another resolution from the same bytes."""
    job(folder, "f.zarr")
    opened.clear()
    monkeypatch.setattr("wsi_embed.util.versions._version", lambda _: "9")
    job(folder, "f.zarr")
    assert len(opened) == 3
