"""Facts for people: what `wsi-embed info` is made of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import wsi_embed
from tests.job_tools import make_model
from tests.made_slides import he_pixels, write_tiff
from wsi_embed.diagnostics.describe import describe


def test_a_slide_with_and_without_resolution(tmp_path: Path) -> None:
    good, _ = describe(str(write_tiff(tmp_path / "a.tif", he_pixels(300, 200), mpp=0.25)))
    bad, _ = describe(str(write_tiff(tmp_path / "b.tif", he_pixels(300, 200), mpp=None)))
    assert good["mpp"].startswith("0.25 um per pixel")
    assert good["levels"][0] == "200 x 300 (1/1)"
    assert bad["mpp"].startswith("not usable")


def test_the_shipped_model_describes_itself() -> None:
    facts, _ = describe("default")
    assert facts["method"] == "weights"
    assert facts["licence"]
    assert facts["parity"]["min_cosine"] > 0.999
    assert facts["training"]["data"] == "ImageNet"


def test_a_model_that_does_not_know_its_resolution(tmp_path: Path) -> None:
    facts, _ = describe(str(make_model(tmp_path / "m", mpp=None)))
    assert facts["mpp"] is None


def test_a_licence_that_forbids_commercial_use_is_said(tmp_path: Path) -> None:
    model = make_model(tmp_path / "m", changes={"licence": "CC-BY-NC-ND-4.0"})
    facts, _ = describe(str(model))
    assert (facts["licence"], facts["use"]) == ("CC-BY-NC-ND-4.0", "non-commercial only")
    slide = write_tiff(tmp_path / "a.tif", he_pixels(300, 200), mpp=0.5)
    report = wsi_embed.embed(slide, tmp_path / "f.zarr", model=model)
    assert (report.model["licence"], report.model["non_commercial"]) == ("CC-BY-NC-ND-4.0", True)
    assert "use" not in describe("default")[0]


def test_a_store_lists_its_slides(tmp_path: Path) -> None:
    slide = write_tiff(tmp_path / "a.tif", he_pixels(600, 400), mpp=0.5)
    wsi_embed.embed(slide, tmp_path / "f.zarr", model=make_model(tmp_path / "m"))
    facts, rows = describe(str(tmp_path / "f.zarr"))
    assert facts["slides"] == 1
    assert facts["tiles"] == rows[0]["tiles"] > 0


def test_nothing_of_that_name(tmp_path: Path) -> None:
    with pytest.raises(wsi_embed.UsageError, match="no such file"):
        describe(str(tmp_path / "nothing"))


def test_damaged_attributes_are_no_traceback(tmp_path: Path) -> None:
    slide = write_tiff(tmp_path / "a.tif", he_pixels(300, 300), mpp=0.5)
    wsi_embed.embed(slide, tmp_path / "f.zarr", model=make_model(tmp_path / "m"))
    for folder, name in (("a", "n_tiles"), (".", "model")):
        document = tmp_path / "f.zarr" / folder / "zarr.json"
        values = json.loads(document.read_text())
        del values["attributes"][name]
        document.write_text(json.dumps(values))
        if folder == "a":
            facts, rows = describe(str(tmp_path / "f.zarr"))
            assert (facts["slides"], rows) == (0, [])
            assert [line.partition(":")[0] for line in facts["damaged"]] == ["left out, a"]
    with pytest.raises(wsi_embed.StoreError, match="wsi-embed verify"):
        describe(str(tmp_path / "f.zarr"))
