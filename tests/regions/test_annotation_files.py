from __future__ import annotations

from pathlib import Path

import pytest

from tests.regions.test_asap import CAMELYON
from tests.regions.test_geojson import QUPATH_05
from wsi_embed.errors import SlideError, UsageError
from wsi_embed.inputs.ids import slide_id_of
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.regions.annotation_files import (
    annotation_file,
    read_annotations,
    slide_annotations,
    with_annotations,
)


def item(name: str, roi: Path | None = None, slide_id: str | None = None) -> SlideInput:
    return SlideInput(slide_id or slide_id_of(name), Path(name), name, roi=roi)


def folder(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("{}")
    return root


@pytest.mark.parametrize(
    "name",
    [
        "batch%202__s1.geojson",
        "batch%202__s1.json",
        "batch%202__s1.xml",
        "batch%202__s1.XML",
        "batch 2/s1.geojson",
        "batch 2/s1.svs.geojson",
        "s1.geojson",
        "s1.svs.json",
    ],
)
def test_a_slides_file_is_found_by_id_by_path_and_by_name(tmp_path: Path, name: str) -> None:
    folder(tmp_path, name, "other.geojson", "s1.txt", "s10.geojson")
    assert annotation_file(tmp_path, "batch%202__s1", "batch 2/s1.svs") == tmp_path / name


def test_the_id_comes_first_then_the_suffix(tmp_path: Path) -> None:
    names = [
        "a__s.geojson",
        "a__s.json",
        "a__s.xml",
        "a/s.geojson",
        "a/s.svs.geojson",
        "s.geojson",
        "s.svs.xml",
    ]
    folder(tmp_path, *names)
    for name in names:
        assert annotation_file(tmp_path, "a__s", "a/s.svs") == tmp_path / name
        (tmp_path / name).unlink()
    assert annotation_file(tmp_path, "a__s", "a/s.svs") is None


def test_each_slide_gets_its_own_file(tmp_path: Path) -> None:
    folder(tmp_path, "tumor_001.xml", "tumor_002.geojson")
    items = [item("x/tumor_001.tif"), item("tumor_002.tif"), item("normal_001.tif")]
    found = [i.roi.name if i.roi else None for i in with_annotations(items, tmp_path)]
    assert found == ["tumor_001.xml", "tumor_002.geojson", None]


def test_a_manifests_file_comes_first(tmp_path: Path) -> None:
    folder(tmp_path, "s.geojson")
    own = tmp_path / "own.xml"
    assert with_annotations([item("s.tif", own)], tmp_path)[0].roi == own
    assert with_annotations([item("s.tif", own)], tmp_path / "s.geojson")[0].roi == own
    assert with_annotations([item("s.tif", own), item("t.tif")], None)[1].roi is None


def test_a_name_that_fits_two_slides_is_refused(tmp_path: Path) -> None:
    folder(tmp_path, "s.xml")
    items = [item("a/s.tif"), item("b/s.tif")]
    with pytest.raises(UsageError, match=r"s\.xml fits a/s\.tif and another slide; call it a__s\.xml"):
        with_annotations(items, tmp_path)
    folder(tmp_path, "a__s.xml", "b/s.json")
    assert [i.roi for i in with_annotations(items, tmp_path)] == [
        tmp_path / "a__s.xml",
        tmp_path / "b/s.json",
    ]


def test_an_id_wins_over_another_slides_file_name(tmp_path: Path) -> None:
    folder(tmp_path, "s.xml")
    items = [item("s.tif"), item("deep/s.tif", slide_id="t")]
    with pytest.raises(UsageError, match=r"fits deep/s\.tif"):
        with_annotations(items, tmp_path)
    folder(tmp_path, "t.xml")
    assert [i.roi for i in with_annotations(items, tmp_path)] == [tmp_path / "s.xml", tmp_path / "t.xml"]


def test_a_file_is_for_one_slide_whatever_its_name(tmp_path: Path) -> None:
    path = folder(tmp_path, "regions.json") / "regions.json"
    assert with_annotations([item("s.tif")], path)[0].roi == path
    with pytest.raises(UsageError, match=r"one file, but there are 2 slides; give a folder .*s\.geojson"):
        with_annotations([item("s.tif"), item("t.tif")], path)


def test_a_wrong_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or folder"):
        with_annotations([item("s.tif")], tmp_path / "gone")
    folder(tmp_path, "s.txt")
    with pytest.raises(UsageError, match=r"holds no \.geojson, \.json, \.xml file"):
        with_annotations([item("s.tif")], tmp_path)


@pytest.mark.parametrize("name", ["a.geojson", "a.json", "a.xml", "a.txt", "a"])
def test_the_content_says_which_format_it_is(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    for start in ("", "\ufeff", "\n  "):
        path.write_text(start + CAMELYON if not start.isspace() else start + CAMELYON.split("\n", 1)[1])
        found = read_annotations(path)
        assert ([p.label for p in found.polygons], found.origin) == (["_0", "_2"], "level0")
        path.write_text(start + QUPATH_05)
        found = read_annotations(path)
        assert (len(found.polygons), found.origin, found.name) == (4, "bounds", name)


def test_the_digest_is_of_the_content(tmp_path: Path) -> None:
    one, two = tmp_path / "one.json", tmp_path / "two.xml"
    one.write_text(QUPATH_05)
    two.write_text(QUPATH_05)
    assert read_annotations(one).digest == read_annotations(two).digest
    two.write_text(QUPATH_05 + " ")
    assert read_annotations(one).digest != read_annotations(two).digest


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.geojson", b"", r"^a\.geojson: not GeoJSON polygons \([^\n]+\); export them from QuPath again$"),
        ("a.geojson", b'{"type": 7}', r"^a\.geojson: not GeoJSON polygons \([^\n]+$"),
        ("a.xml", b"", r"^a\.xml: not ASAP annotations \(broken XML, [^\n]+\); save them in ASAP again$"),
        ("a.xml", b"\x89PNG", r"^a\.xml: not ASAP annotations \([^\n]+$"),
        ("a.xml", b"<x/>", r"^a\.xml: not ASAP annotations \([^\n]+$"),
        ("a.xml", b"\xff\xfe<", r"^a\.xml: not ASAP annotations \([^\n]+$"),
    ],
)
def test_a_broken_file_is_one_clear_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SlideError, match=message):
        read_annotations(tmp_path / name)


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(SlideError, match=r"^gone\.xml: the ROI file cannot be read \(No such file"):
        read_annotations(tmp_path / "gone.xml")


def test_annotations_of_another_slide_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "s.geojson"
    file.write_text('{"type": "Polygon", "coordinates": [[[500, 10], [600, 10], [600, 90], [500, 10]]]}')
    with pytest.raises(SlideError, match=r"outside the slide \(200 x 100"):
        slide_annotations(file, (200, 100), (0, 0, 200, 100))
    file.write_text('{"type": "Polygon", "coordinates": [[[150, 10], [600, 10], [600, 90], [150, 10]]]}')
    assert len(slide_annotations(file, (200, 100), (0, 0, 200, 100)).polygons) == 1


def test_what_is_left_out_is_named(tmp_path: Path) -> None:
    (tmp_path / "s.xml").write_text(CAMELYON.replace("Spline", "Freehand"))
    found = read_annotations(tmp_path / "s.xml")
    assert found.warnings == ("s.xml: left out, because they are no areas: 1 Freehand (an unknown type)",)
    assert len(found.polygons) == 1


def test_annotations_of_qupath_count_from_the_bounds(tmp_path: Path) -> None:
    (tmp_path / "s.geojson").write_text(
        '{"type": "Polygon", "coordinates": [[[1, 2], [9, 2], [9, 8], [1, 2]]]}'
    )
    found = slide_annotations(tmp_path / "s.geojson", (200, 100), (30, 40, 50, 50))
    assert found.polygons[0].rings[0].tolist()[:2] == [[31, 42], [39, 42]]
