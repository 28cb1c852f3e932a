from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wsi_embed.errors import SlideError
from wsi_embed.roi import Regions, read_regions

SQUARE = [[20, 40], [60, 40], [60, 80], [20, 80], [20, 40]]
HOLE = [[30, 50], [50, 50], [50, 70], [30, 70], [30, 50]]
FAR = [[80, 0], [100, 0], [100, 20], [80, 20], [80, 0]]
POLYGON: dict[str, Any] = {"type": "Polygon", "coordinates": [SQUARE]}
DONUT: dict[str, Any] = {"type": "Polygon", "coordinates": [SQUARE, HOLE]}
BOTH: dict[str, Any] = {"type": "MultiPolygon", "coordinates": [[SQUARE], [FAR]]}


def feature(geometry: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Feature", "id": "PathAnnotationObject", "geometry": geometry, "properties": {}}


def read(folder: Path, document: Any) -> Regions:
    path = folder / "roi.geojson"
    path.write_text(json.dumps(document))
    return read_regions(path)


def area(regions: Regions, scale: float = 1.0) -> float:
    """Level-0 pixels inside, of a slide of 100 x 100."""
    side = round(100 / scale)
    return float(regions.mask((side, side), (scale, scale)).sum()) * scale**2


@pytest.mark.parametrize(
    "document",
    [
        POLYGON,
        feature(POLYGON),
        [feature(POLYGON)],
        {"type": "FeatureCollection", "features": [feature(POLYGON)]},
        {"type": "GeometryCollection", "geometries": [POLYGON]},
        {"type": "MultiPolygon", "coordinates": [[SQUARE]]},
    ],
    ids=["geometry", "feature", "list", "feature collection", "geometry collection", "multipolygon"],
)
def test_one_square_is_read_from_every_kind_of_geojson(tmp_path: Path, document: Any) -> None:
    regions = read(tmp_path, document)
    assert [[ring.tolist() for ring in rings] for rings in regions.polygons] == [[SQUARE]]


def test_the_mask_is_true_inside_and_false_outside(tmp_path: Path) -> None:
    mask = read(tmp_path, POLYGON).mask((100, 100), (1.0, 1.0))
    assert mask.dtype == np.bool_
    assert mask[41:79, 21:59].all()
    mask[39:82, 19:62] = False
    assert not mask.any()


def test_the_mask_follows_its_scale_in_x_and_y(tmp_path: Path) -> None:
    mask = read(tmp_path, POLYGON).mask((10, 20), (5.0, 10.0))
    assert mask[4:8, 4:12].all()
    assert mask.sum() == pytest.approx(32, abs=14)


def test_holes_are_left_out(tmp_path: Path) -> None:
    mask = read(tmp_path, DONUT).mask((100, 100), (1.0, 1.0))
    assert not mask[52:68, 32:48].any()
    assert mask[42:48, 22:58].all()


def test_polygons_add_up(tmp_path: Path) -> None:
    assert area(read(tmp_path, BOTH)) == pytest.approx(40 * 40 + 20 * 20, rel=0.1)


def test_overlapping_polygons_do_not_cancel(tmp_path: Path) -> None:
    twice = read(tmp_path, {"type": "GeometryCollection", "geometries": [POLYGON, POLYGON]})
    assert area(twice) == area(read(tmp_path, POLYGON)) > 0


@pytest.mark.parametrize("scale", [1.0, 2.0, 4.0])
def test_the_area_is_about_that_of_the_polygon(tmp_path: Path, scale: float) -> None:
    # the outline itself counts as inside: at most half a mask pixel all round
    assert 40**2 <= area(read(tmp_path, POLYGON), scale) <= (40 + 2 * scale) ** 2


def test_polygons_may_stick_out_of_the_slide(tmp_path: Path) -> None:
    huge = {"type": "Polygon", "coordinates": [[[-500, -500], [50, -500], [50, 900], [-500, 900]]]}
    mask = read(tmp_path, huge).mask((100, 100), (1.0, 1.0))
    assert mask[:, :49].all()
    assert not mask[:, 52:].any()


def test_a_third_coordinate_is_ignored(tmp_path: Path) -> None:
    flat = read(tmp_path, POLYGON)
    deep = read(tmp_path, {"type": "Polygon", "coordinates": [[[*point, 7] for point in SQUARE]]})
    assert np.array_equal(flat.polygons[0][0], deep.polygons[0][0])


def test_what_is_not_a_polygon_is_left_out(tmp_path: Path) -> None:
    point = feature({"type": "Point", "coordinates": [1, 2]})
    assert len(read(tmp_path, [point, feature(POLYGON)]).polygons) == 1


def test_the_digest_is_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    before = read(tmp_path, POLYGON).digest
    assert read(tmp_path / "other", POLYGON).digest == before
    assert read(tmp_path, DONUT).digest != before


@pytest.mark.parametrize(
    "document",
    [
        {"type": "Polygon"},
        {"type": "Polygon", "coordinates": [[[1, 2], [3, 4]]]},
        {"type": "Polygon", "coordinates": [[["a", "b"]] * 4]},
        {"type": "Polygon", "coordinates": [[[1, 2], [3, 4], [float("nan"), 5]]]},
        {"polygons": [SQUARE]},
        "Polygon",
        7,
    ],
)
def test_what_is_not_geojson_is_refused_in_one_line(tmp_path: Path, document: Any) -> None:
    with pytest.raises(SlideError, match=r"^[^\n]*roi\.geojson: not GeoJSON polygons [^\n]*$"):
        read(tmp_path, document)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"\x89PNG"])
def test_what_is_not_json_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "roi.geojson"
    path.write_bytes(content)
    with pytest.raises(SlideError, match="not GeoJSON polygons"):
        read_regions(path)


@pytest.mark.parametrize(
    "document", [[], {"type": "FeatureCollection", "features": []}, {"type": "Point", "coordinates": [1, 2]}]
)
def test_a_file_without_polygons_is_refused(tmp_path: Path, document: Any) -> None:
    with pytest.raises(SlideError, match="holds no polygon"):
        read(tmp_path, document)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SlideError, match=r"gone\.geojson: the ROI file cannot be read \(No such file"):
        read_regions(tmp_path / "gone.geojson")
