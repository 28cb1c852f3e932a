"""Regions on the command line: `--roi` and its friends, `plot --geojson`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import wsi_embed
from tests.job_tools import invoke, make_model
from tests.made_slides import he_pixels, write_tiff
from tests.regions.test_asap import LAUGHS
from wsi_embed import JobReport
from wsi_embed.cli import app

SIDE = 256


def square(left: float, top: float, right: float, bottom: float, label: str | None = None) -> dict[str, Any]:
    ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    properties: dict[str, Any] = {"objectType": "annotation"}
    if label:
        properties["classification"] = {"name": label, "color": [200, 0, 0]}
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": properties,
    }


def collection(*features: dict[str, Any]) -> str:
    return json.dumps({"type": "FeatureCollection", "features": features})


def asap(**groups: tuple[float, float, float, float]) -> str:
    """ASAP XML with a rectangle a group."""
    text = '<?xml version="1.0"?>\n<ASAP_Annotations>\n\t<Annotations>\n'
    for number, (group, (left, top, right, bottom)) in enumerate(groups.items()):
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        text += f'\t\t<Annotation Name="Annotation {number}" Type="Polygon" PartOfGroup="{group}" '
        text += 'Color="#F4FA58">\n'
        points = [f'<Coordinate Order="{i}" X="{x}" Y="{y}" />' for i, (x, y) in enumerate(corners)]
        text += f"<Coordinates>{''.join(points)}</Coordinates></Annotation>\n"
    return text + "\t</Annotations>\n\t<AnnotationGroups />\n</ASAP_Annotations>\n"


def plot(*args: str | Path) -> Result:
    """The command in this process: quicker than `run`."""
    return CliRunner().invoke(app, ["plot", *map(str, args)])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slides")
    (folder / "more").mkdir()
    for name in ("a", "b", "c", "more/d"):
        write_tiff(folder / f"{name}.tif", he_pixels(SIDE, SIDE, seed=len(name)), mpp=0.5)
    return folder


def tiles(store: Path, slide_id: str) -> set[tuple[int, int]]:
    """Corners of a slide's tiles (32 px each), in tiles."""
    return {(x // 32, y // 32) for x, y in wsi_embed.open_store(store)[slide_id].coords[:].tolist()}


def block(left: int, top: int, right: int, bottom: int) -> set[tuple[int, int]]:
    return {(x, y) for x in range(left, right) for y in range(top, bottom)}


def embed(slides: Path, store: Path, model: Path, **options: Any) -> JobReport:
    return wsi_embed.embed(slides, store, model=model, tissue="none", min_tissue=0.9, **options)


def test_a_folder_gives_each_slide_its_regions_by_class(slides: Path, model: Path, tmp_path: Path) -> None:
    roi = tmp_path / "annotations"
    (roi / "more").mkdir(parents=True)
    (roi / "a.xml").write_text(asap(_0=(0, 0, 128, 128), _1=(128, 0, 192, 64), _2=(0, 0, 64, 64)))
    (roi / "b.geojson").write_text(collection(square(0, 0, 256, 64, "_0"), square(64, 0, 256, 256, "_2")))
    (roi / "c.json").write_text(collection(square(32, 32, 96, 96, "_1"), square(0, 0, 32, 32, "other")))
    (roi / "more" / "d.xml").write_text(asap(_0=(0, 128, 256, 256)))
    done = invoke(
        "embed", slides, "--out", tmp_path / "f.zarr", "--model", model, "--tissue", "none",
        "--min-tissue", "0.9", "--roi", roi, "--roi-include", "_0", "--roi-include", "_1",
        "--roi-exclude", "_2", "--report", tmp_path / "r.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert tiles(tmp_path / "f.zarr", "a") == (block(0, 0, 4, 4) | block(4, 0, 6, 2)) - block(0, 0, 2, 2)
    assert tiles(tmp_path / "f.zarr", "b") == block(0, 0, 2, 2)
    assert tiles(tmp_path / "f.zarr", "c") == block(1, 1, 3, 3)
    assert tiles(tmp_path / "f.zarr", "more__d") == block(0, 4, 8, 8)
    assert "warning: c.json: no region of class _0, _2; it has _1, other" in done.stdout
    report = (tmp_path / "r.json").read_text()
    assert json.loads(report)["settings"]["roi"] == {
        "source": "annotations",
        "include": ["_0", "_1"],
        "exclude": ["_2"],
        "missing": "fail",
    }
    assert str(tmp_path) not in report
    attrs = wsi_embed.open_store(tmp_path / "f.zarr")["a"].attrs
    assert attrs["roi"] == {"file": "a.xml", "include": ["_0", "_1"], "exclude": ["_2"]}


BAD = {
    "empty.geojson": (collection(), "empty.geojson: holds no polygon"),
    "points.geojson": ('{"type": "Point", "coordinates": [5, 5]}', "points.geojson: holds no polygon"),
    "broken.geojson": (collection(square(0, 0, 99, 99))[:80], "broken.geojson: not GeoJSON polygons"),
    "nan.geojson": (collection(square(0, 0, float("nan"), 99)), "nan.geojson: not GeoJSON polygons"),
    "text.json": ("Tumor", "text.json: not GeoJSON polygons"),
    "bomb.xml": (LAUGHS, "bomb.xml: not ASAP annotations (it declares a document type"),
    "cut.xml": (asap(_0=(0, 0, 99, 99))[:200], "cut.xml: not ASAP annotations (broken XML"),
    "aperio.xml": ('<Annotations MicronsPerPixel="0.5"/>', "aperio.xml: not ASAP annotations (its root is"),
    "far.geojson": (
        collection(square(5000, 5000, 9000, 9000)),
        "far.geojson: all its regions lie outside the slide (64 x 64 pixels)",
    ),
    "tiny.xml": (asap(_0=(8.1, 8.1, 8.2, 8.2)), "tiny.xml: nothing of the slide is left"),
}


def test_bad_annotations_are_one_clear_line_each_and_the_others_go_on(model: Path, tmp_path: Path) -> None:
    slides, roi = tmp_path / "slides", tmp_path / "roi"
    slides.mkdir()
    roi.mkdir()
    names = [*BAD, "good.xml", "partly.geojson", "missing"]
    for name in names:
        write_tiff(slides / f"{Path(name).stem}.tif", he_pixels(64, 64, seed=1), mpp=0.5, levels=(1,))
    for name, (content, _) in BAD.items():
        (roi / name).write_text(content)
    (roi / "good.xml").write_text(asap(_0=(0, 0, 64, 64)))
    (roi / "partly.geojson").write_text(collection(square(0, 0, 80, 64)))
    done = invoke(
        "embed", slides, "--out", tmp_path / "f.zarr", "--model", model, "--tissue", "none", "--roi", roi
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    for name, (_, message) in BAD.items():
        line = next(line for line in done.stdout.splitlines() if f"] {Path(name).stem}: failed: " in line)
        assert message in line
    assert "] missing: failed: no annotation file in roi; add it (named missing, missing.tif" in done.stdout
    assert "warning: partly.geojson: 20 % of its regions' area lie outside the slide" in done.stdout
    assert sorted(wsi_embed.open_store(tmp_path / "f.zarr")) == ["good", "partly"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--roi", "gone"], "`roi='gone'`: no such file or folder"),
        (["--roi", "one.xml"], "one file, but there are 4 slides"),
        (["--roi", "none"], "holds no .geojson, .json, .xml file"),
        (["--roi-include", "Tumor"], "need `roi=FILE|DIR`, or a manifest"),
        (["--roi", "good", "--roi-missing", "ignore"], "choose fail, skip or whole"),
        (["--roi", "good", "--roi-include", "x", "--roi-exclude", "X"], "class x is both"),
    ],
)
def test_wrong_usage_is_refused_before_any_work(
    slides: Path,
    model: Path,
    tmp_path: Path,
    options: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "one.xml").write_text(asap(_0=(0, 0, 64, 64)))
    (tmp_path / "none").mkdir()
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "a.xml").write_text(asap(_0=(0, 0, 64, 64)))
    monkeypatch.chdir(tmp_path)
    names = {"--roi": "roi", "--roi-include": "roi_include", "--roi-exclude": "roi_exclude"}
    given: dict[str, Any] = {}
    for option, value in zip(options[::2], options[1::2], strict=True):
        given[names.get(option, "roi_missing")] = (value,) if "clude" in option else value
    with pytest.raises(wsi_embed.UsageError) as error:
        embed(slides, tmp_path / "f.zarr", model, **given)
    assert message in str(error.value)
    assert error.value.exit_code == 2
    assert not (tmp_path / "f.zarr").exists()


@pytest.mark.parametrize(
    ("missing", "statuses"),
    [("fail", ["failed"] * 3), ("skip", ["skipped"] * 3), ("whole", ["failed", "done", "done"])],
)
def test_slides_without_annotations(
    slides: Path, model: Path, tmp_path: Path, missing: str, statuses: list[str]
) -> None:
    """a has Tumor, b has only Stroma, c and d have no file."""
    roi = tmp_path / "roi"
    roi.mkdir()
    (roi / "a.geojson").write_text(collection(square(0, 0, 64, 64, "Tumor")))
    (roi / "b.geojson").write_text(collection(square(0, 0, 64, 64, "Stroma")))
    done = embed(slides, tmp_path / "f.zarr", model, roi=roi, roi_include=["tumor"], roi_missing=missing)
    assert [s.status for s in done.slides] == ["done", *statuses]
    assert done.exit_code == (1 if "failed" in statuses else 0)
    assert "no region of class tumor; it has Stroma" in str(done.slides[1].reason)
    assert tiles(tmp_path / "f.zarr", "a") == block(0, 0, 2, 2)
    if missing == "whole":
        assert tiles(tmp_path / "f.zarr", "c") == block(0, 0, 8, 8)
        assert done.slides[2].warnings == ["c.tif: no annotation file in roi, taken whole"]
    else:
        assert "no annotation file" in str(done.slides[2].reason)
        if missing == "skip":  # what was asked for is no advice, and the slide is named beside it
            assert done.slides[2].reason == "no annotation file in roi"
            assert done.slides[1].reason == "b.geojson: no region of class tumor; it has Stroma"
            assert done.slides[1].remedy is None
        assert list(wsi_embed.open_store(tmp_path / "f.zarr")) == ["a"]


@pytest.mark.parametrize("missing", ["fail", "skip", "whole"])
def test_a_class_that_no_file_has_is_refused_before_any_work(
    slides: Path, model: Path, tmp_path: Path, missing: str
) -> None:
    """As `--roi-missing skip` with `tumour` where all files have `Tumor`: every slide would be left out."""
    roi = tmp_path / "roi"
    roi.mkdir()
    (roi / "a.geojson").write_text(collection(square(0, 0, 64, 64, "Tumor")))
    (roi / "b.geojson").write_text(collection(square(0, 0, 64, 64, "Stroma"), square(0, 0, 9, 9)))
    (roi / "c.geojson").write_text("damaged")
    given: dict[str, Any] = {"roi": roi, "roi_missing": missing}
    with pytest.raises(wsi_embed.UsageError) as error:
        embed(slides, tmp_path / "f.zarr", model, roi_include=["tumour,Stroma"], **given)
    assert str(error.value) == (
        "no annotation file has a region of class tumour; they have Stroma, Tumor, and 1 without a class; "
        "name one of those with `roi_include=`"
    )
    assert not (tmp_path / "f.zarr").exists()
    done = embed(slides, tmp_path / "f.zarr", model, roi_include=["tumor,stroma"], shard="1/2", **given)
    assert done.slides[0].status == "done"  # b, whose shard has no Tumor


def test_skipped_slides_are_not_called_complete(slides: Path, model: Path, tmp_path: Path) -> None:
    roi = tmp_path / "roi"
    roi.mkdir()
    (roi / "other.xml").write_text(asap(_0=(0, 0, 64, 64)))
    done = invoke(
        "embed", slides, "--out", tmp_path / "f.zarr", "--model", model, "--roi", roi, "--dry-run",
        env={"WSI_EMBED_ROI_MISSING": "skip"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("no annotation file in roi") == 4
    assert "4 left out" in done.stdout
    assert "complete" not in done.stdout


def test_excluding_alone_keeps_the_rest_of_the_slide(slides: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "roi.geojson").write_text(collection(square(0, 0, 256, 128, "Pen")))
    embed(slides / "a.tif", tmp_path / "f.zarr", model, roi=tmp_path / "roi.geojson", roi_exclude=["Pen"])
    assert tiles(tmp_path / "f.zarr", "a") == block(0, 4, 8, 8)


def test_a_manifests_regions_come_first_and_classes_hold_for_them(
    slides: Path, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "own.xml").write_text(asap(Tumor=(0, 0, 64, 64), Exclusion=(32, 0, 64, 64)))
    (tmp_path / "roi").mkdir()
    for name in "ab":
        (tmp_path / "roi" / f"{name}.geojson").write_text(collection(square(128, 128, 256, 256, "Tumor")))
    manifest = tmp_path / "slides.csv"
    manifest.write_text(f"path,roi\n{slides / 'a.tif'},own.xml\n{slides / 'b.tif'},\n")
    embed(manifest, tmp_path / "f.zarr", model, roi=tmp_path / "roi", roi_exclude=["exclusion"])
    assert tiles(tmp_path / "f.zarr", "a") == block(0, 0, 1, 2)
    assert tiles(tmp_path / "f.zarr", "b") == block(4, 4, 8, 8)


def test_groups_of_groups_and_types_in_lower_case_count(slides: Path, model: Path, tmp_path: Path) -> None:
    text = asap(Sub=(0, 0, 64, 64), Tumor=(64, 0, 128, 64), Other=(128, 128, 256, 256))
    text = text.replace("AnnotationGroups /", 'Group Name="Sub" PartOfGroup="Tumor"/')
    (tmp_path / "r.xml").write_text(text.replace('"Polygon"', '"polygon"', 1))
    embed(slides / "a.tif", tmp_path / "f.zarr", model, roi=tmp_path / "r.xml", roi_include=["tumor"])
    assert tiles(tmp_path / "f.zarr", "a") == block(0, 0, 4, 2)
    (tmp_path / "r.xml").write_text(text.replace('"Polygon"', '"Freehand"', 1))
    (slide,) = embed(slides / "a.tif", tmp_path / "g.zarr", model, roi=tmp_path / "r.xml").slides
    assert slide.warnings == ["r.xml: left out, because they are no areas: 1 Freehand (an unknown type)"]
    assert tiles(tmp_path / "g.zarr", "a") == block(2, 0, 4, 2) | block(4, 4, 8, 8)


def test_regions_in_other_units_are_said(slides: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "um.geojson").write_text(collection(square(3, 3, 20, 20), square(100, 100, 120, 110)))
    (slide,) = embed(slides / "a.tif", tmp_path / "f.zarr", model, roi=tmp_path / "um.geojson").slides
    small, empty = slide.warnings
    assert small.startswith("um.geojson: every region is smaller than one tile (32 level-0 pixels); ")
    assert empty.startswith(
        "a.tif: there are no tiles, no tile has 90 % of its area in tissue within the reg"
    )
    assert "other units than level-0 pixels" in small
    assert "other units than level-0 pixels" in empty


def test_other_classes_or_another_file_are_other_settings(slides: Path, model: Path, tmp_path: Path) -> None:
    roi, store = tmp_path / "roi.geojson", tmp_path / "f.zarr"
    roi.write_text(collection(square(0, 0, 64, 64, "Tumor"), square(64, 64, 128, 128, "Stroma")))

    def status(**options: Any) -> tuple[str, str]:
        (slide,) = embed(slides / "a.tif", store, model, roi=roi, **options).slides
        return slide.status, str(slide.reason)

    assert status(roi_include=["Tumor"])[0] == "done"
    assert status(roi_include=["TUMOR"])[0] == "skipped"
    for options in ({"roi_include": ["Stroma"]}, {"roi_include": ["Tumor"], "roi_exclude": ["Stroma"]}, {}):
        found = status(**options)
        assert found[0] == "failed"
        assert "different settings (roi " in found[1]
    roi.write_text(collection(square(0, 0, 64, 64, "Tumor")))
    assert "different settings (roi " in status(roi_include=["Tumor"])[1]
    assert status(roi_include=["Tumor"], overwrite=True)[0] == "done"


def test_shards_see_the_same_files(slides: Path, model: Path, tmp_path: Path) -> None:
    roi = tmp_path / "roi"
    roi.mkdir()
    for name in ("a", "b", "c", "d"):
        (roi / f"{name}.geojson").write_text(collection(square(0, 0, 64, 64)))
    for shard in ("0/2", "1/2"):
        assert embed(slides, tmp_path / "f.zarr", model, roi=roi, shard=shard).exit_code == 0
    assert {len(bag) for bag in wsi_embed.open_store(tmp_path / "f.zarr").values()} == {4}


def test_plot_writes_geojson_without_the_slides(slides: Path, model: Path, tmp_path: Path) -> None:
    wsi_embed.embed(slides, tmp_path / "f.zarr", model=model)
    done = invoke("plot", tmp_path / "f.zarr", "--geojson", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "a.geojson", "b.geojson", "c.geojson", "more__d.geojson",
    ]  # fmt: skip
    found = json.loads((tmp_path / "out" / "a.geojson").read_text())["features"]
    kinds = {(f["properties"]["objectType"], f["properties"].get("isLocked", False)) for f in found}
    assert kinds == {("annotation", False), ("annotation", True), ("tile", False)}
    bag = wsi_embed.open_store(tmp_path / "f.zarr")["a"]
    assert sum(f["properties"]["objectType"] == "tile" for f in found) == len(bag)
    assert f"a.geojson  {len(found)} objects" in done.stdout


def test_plot_writes_both_and_only_the_parts_asked_for(slides: Path, model: Path, tmp_path: Path) -> None:
    wsi_embed.embed(slides / "a.tif", tmp_path / "f.zarr", model=model)
    done = plot(
        tmp_path / "f.zarr", "--slides", slides / "a.tif", "--geojson", "--geojson-parts", "clusters",
        "--out", tmp_path / "out", "--max-px", "200",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert {"a.geojson", "a.png"} <= {p.name for p in (tmp_path / "out").iterdir()}
    found = json.loads((tmp_path / "out" / "a.geojson").read_text())["features"]
    assert {f["properties"]["classification"]["name"].split()[0] for f in found} == {"cluster"}
    parts = ["--geojson-parts", "tissue", "--geojson-parts", "clusters"]
    assert plot(tmp_path / "f.zarr", "--geojson", "--out", tmp_path / "both", *parts).exit_code == 0
    found = json.loads((tmp_path / "both" / "a.geojson").read_text())["features"]
    kinds = {f["properties"]["classification"]["name"].split()[0] for f in found}
    assert kinds == {"Tissue", "cluster"}


def test_plot_says_what_is_missing(slides: Path, model: Path, tmp_path: Path) -> None:
    store = tmp_path / "f.zarr"
    wsi_embed.embed(slides, store, model=model)
    for options, message in (
        ([], "is in its folder or the current one; use --slides with the files"),
        (["--geojson", "--geojson-parts", "tile"], "choose from tissue, clusters, tiles"),
    ):
        error = plot(store, *options).exception
        assert isinstance(error, wsi_embed.UsageError)
        assert message in str(error)
    (store / "a" / "coords" / "c" / "0" / "0").write_bytes(b"x")
    done = plot(store, "--geojson", "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert done.stderr.startswith("a/coords: cannot be read")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "b.geojson",
        "c.geojson",
        "more__d.geojson",
    ]


def test_tissue_corrected_in_qupath_goes_back_in(slides: Path, model: Path, tmp_path: Path) -> None:
    """`plot --geojson` names its files as `--roi` looks for them."""
    wsi_embed.embed(slides, tmp_path / "f.zarr", model=model)
    plot(tmp_path / "f.zarr", "--geojson", "--out", tmp_path / "roi")
    again = wsi_embed.embed(
        slides, tmp_path / "g.zarr", model=model, roi=tmp_path / "roi", roi_include=["Tissue"]
    )
    assert again.exit_code == 0
    for slide_id, bag in wsi_embed.open_store(tmp_path / "f.zarr").items():
        other = wsi_embed.open_store(tmp_path / "g.zarr")[slide_id]
        assert np.array_equal(bag.coords[:], other.coords[:])
