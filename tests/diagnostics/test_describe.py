"""Facts for people: what `wsi-embed info` is made of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import wsi_embed
from tests.job_tools import make_model
from tests.made_slides import he_pixels, write_tiff
from wsi_embed.cli import app
from wsi_embed.cli.tables import show_facts
from wsi_embed.diagnostics.describe import describe
from wsi_embed.errors import UsageError


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
    with pytest.raises(wsi_embed.StoreError, match="root attributes were changed"):
        describe(str(tmp_path / "f.zarr"))


def test_the_slides_of_a_folder_are_listed_with_their_resolution(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    write_tiff(tmp_path / "sub" / "a.tif", he_pixels(300, 200), mpp=0.25)
    write_tiff(tmp_path / "b.tif", he_pixels(100, 100), mpp=None)
    write_tiff(tmp_path / "c.tif", he_pixels(100, 100), mpp=0.5, levels=(1, 2))
    (tmp_path / "broken.svs").write_bytes(b"no slide")
    facts, rows = describe(str(tmp_path))
    assert (facts["slides"], facts["not usable"], facts["um per pixel"]) == (4, 2, {"0.25": 1, "0.5": 1})
    by_name = {row["slide"]: row for row in rows}
    assert by_name["sub/a.tif"] | {"pixels": "200 x 300", "levels": 3, "mpp": 0.25} == by_name["sub/a.tif"]
    assert (by_name["c.tif"]["mpp"], by_name["c.tif"]["levels"]) == (0.5, 2)
    assert "resolution" in by_name["b.tif"]["problem"]
    assert "broken.svs" in by_name["broken.svs"]["problem"]
    assert "pixels" not in by_name["broken.svs"]


def test_the_command_prints_problems_below_the_table(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", he_pixels(300, 200), mpp=0.25)
    write_tiff(tmp_path / "b.tif", he_pixels(100, 100), mpp=None)
    (tmp_path / "broken.svs").write_bytes(b"no slide")
    lines = CliRunner().invoke(app, ["info", str(tmp_path)]).output.splitlines()
    assert sum(line.startswith(("a.tif ", "b.tif ")) for line in lines) == 2
    assert "problem" not in "".join(lines)
    assert lines[-2].startswith(
        "not usable: b.tif: the file does not say its resolution; give it with --mpp-"
    )
    assert lines[-1].startswith("not usable: ")
    assert "broken.svs: not a slide" in lines[-1]
    document = json.loads(CliRunner().invoke(app, ["info", str(tmp_path), "--json"]).output)
    assert ["problem" in row for row in document["slides"]] == [False, True, True]


def test_people_see_names_and_programs_ids(tmp_path: Path) -> None:
    write_tiff(tmp_path / "M\u00fcller #1.tif", he_pixels(300, 300), mpp=0.5)
    store = tmp_path / "f.zarr"
    wsi_embed.embed(tmp_path / "M\u00fcller #1.tif", store, model=make_model(tmp_path / "m"))
    assert "\nM\u00fcller #1 " in CliRunner().invoke(app, ["info", str(store)]).output
    document = json.loads(CliRunner().invoke(app, ["info", str(store), "--json"]).output)
    assert [row["slide"] for row in document["slides"]] == ["M%C3%BCller%20%231"]


def test_settings_without_a_value_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings: dict[str, object] = {"freeze": "", "mean": None, "stages": [], "alpha": 0.0, "pen": False}
    show_facts({"licence": "", "training": {"settings": settings, "notes": {}}}, [])
    assert capsys.readouterr().out.split() == ["training", "settings:", "alpha", "0,", "pen", "no"]


def test_the_resolutions_of_a_manifest_are_used(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", he_pixels(100, 100), mpp=None)
    (tmp_path / "slides.csv").write_text("path,mpp\na.tif,0.3\n")
    assert describe(str(tmp_path / "slides.csv"))[1][0]["mpp"] == 0.3


def test_a_folder_without_slides_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match="no slides found in"):
        describe(str(tmp_path))
