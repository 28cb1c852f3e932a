"""GeoJSON as QuPath and others write it, and what is written for QuPath."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wsi_embed.regions.geojson import read_geojson
from wsi_embed.regions.polygons import Polygon

SQUARE = [[20, 40], [60, 40], [60, 80], [20, 80], [20, 40]]
HOLE = [[30, 50], [50, 50], [50, 70], [30, 70], [30, 50]]
POLYGON: dict[str, Any] = {"type": "Polygon", "coordinates": [SQUARE]}

# as QuPath 0.5 exports it: File > Export objects as GeoJSON, pretty, as a feature collection
QUPATH_05 = """{
  "type": "FeatureCollection",
  "features": [
    {
      "type": "Feature",
      "id": "a7bdc5a7-a7a1-4d7c-8d3f-4f1b3ee4b6bc",
      "geometry": {
        "type": "Polygon",
        "coordinates": [
          [
            [12040.5, 9313.22],
            [14040, 9313.22],
            [14040, 11313],
            [12040.5, 9313.22]
          ]
        ]
      },
      "properties": {
        "objectType": "annotation",
        "name": "first",
        "classification": {
          "name": "Tumor",
          "color": [200, 0, 0]
        },
        "isLocked": true
      }
    },
    {
      "type": "Feature",
      "id": "0a3e6b8e-5c54-4a0f-b6d9-0c5e3b9c8a11",
      "geometry": {
        "type": "MultiPolygon",
        "coordinates": [
          [[[0, 0], [10, 0], [10, 10], [0, 0]]],
          [[[20, 0], [40, 0], [40, 20], [20, 20], [20, 0]], [[25, 5], [30, 5], [30, 10], [25, 5]]]
        ],
        "plane": {"c": -1, "z": 0, "t": 0}
      },
      "properties": {
        "objectType": "annotation",
        "classification": {
          "names": ["Tumor", "Positive"],
          "color": [250, 62, 62]
        },
        "measurements": {"Num Detections": 0}
      }
    },
    {
      "type": "Feature",
      "id": "d5a4b6de-3a3a-46b3-8b3c-3c9a8c9d7e55",
      "geometry": {
        "type": "Polygon",
        "coordinates": [[[5, 5], [6, 5], [6, 6], [5, 5]]],
        "isEllipse": true
      },
      "properties": {"objectType": "annotation"}
    },
    {
      "type": "Feature",
      "id": "f7a4b6de-3a3a-46b3-8b3c-3c9a8c9d7e55",
      "geometry": {"type": "MultiPoint", "coordinates": [[5, 5], [6, 5]]},
      "properties": {"objectType": "annotation", "name": "clicks"}
    },
    {
      "type": "Feature",
      "id": "e7a4b6de-3a3a-46b3-8b3c-3c9a8c9d7e55",
      "geometry": {"type": "LineString", "coordinates": [[5, 5], [6, 5]]},
      "properties": {"objectType": "annotation"}
    }
  ]
}
"""
# as QuPath 0.2 wrote it by script: a list, the type as id, packed colours
QUPATH_02 = """[
  {
    "type": "Feature",
    "id": "PathAnnotationObject",
    "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 0]]]},
    "properties": {
      "classification": {"name": "Positive", "colorRGB": -377282,
        "parentClass": {"name": "Tumor", "colorRGB": -3670016}},
      "isLocked": false,
      "measurements": []
    }
  }
]
"""


def of(geometry: Any, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "id": "x", "geometry": geometry, "properties": properties}


def read(document: Any) -> list[Polygon]:
    return read_geojson(json.dumps(document).encode()).polygons


def test_an_export_of_qupath_is_read_word_by_word() -> None:
    first, second, third, ellipse = (found := read_geojson(QUPATH_05.encode())).polygons
    assert (first.label, first.colour) == ("Tumor", (200, 0, 0))
    assert first.rings[0][0].tolist() == [12040.5, 9313.22]
    assert second.label == third.label == "Tumor: Positive"
    assert [len(second.rings), len(third.rings)] == [1, 2]
    assert (ellipse.label, ellipse.colour) == (None, None)
    assert found.left_out == {"MultiPoint": 1, "LineString": 1}


def test_an_old_export_of_qupath_is_read() -> None:
    (polygon,) = read_geojson(QUPATH_02.encode()).polygons
    assert polygon.label == "Tumor: Positive"


@pytest.mark.parametrize(
    "document",
    [
        POLYGON,
        of(POLYGON),
        {"type": "Feature", "geometry": POLYGON},
        [of(POLYGON)],
        {"type": "FeatureCollection", "features": [of(POLYGON)]},
        {"type": "GeometryCollection", "geometries": [POLYGON]},
        {"type": "MultiPolygon", "coordinates": [[SQUARE]]},
        {"type": "Polygon", "coordinates": [[[*point, 7] for point in SQUARE]]},
        [of({"type": "Point", "coordinates": [1, 2]}), of(POLYGON), of(None)],
        [of(None, childObjects=[of(POLYGON)])],
        {"type": "polygon", "coordinates": [SQUARE]},
        {"type": "FEATURECOLLECTION", "features": [of(POLYGON) | {"type": "feature"}]},
        {"type": "FeatureCollection", "features": [{"type": "FeatureCollection", "features": [of(POLYGON)]}]},
        of(
            {
                "type": "GeometryCollection",
                "geometries": [{"type": "MultiPolygon", "coordinates": [[SQUARE]]}],
            }
        ),
        of(POLYGON | {"plane": {"c": -1, "z": 3, "t": 0}, "isEllipse": True}, objectType="Annotation"),
    ],
)
def test_one_square_is_read_from_every_kind_of_geojson(document: Any) -> None:
    assert [[ring.tolist() for ring in polygon.rings] for polygon in read(document)] == [[SQUARE]]


@pytest.mark.parametrize(
    ("properties", "label"),
    [
        ({"classification": {"name": "Tumor", "color": [1, 2, 3]}}, "Tumor"),
        ({"classification": {"name": "Tumor"}, "name": "left"}, "Tumor"),
        ({"classification": {"names": ["Tumor", "Positive"]}}, "Tumor: Positive"),
        ({"classification": "Stroma"}, "Stroma"),
        ({"classification": '{"name": "Stroma", "color": [1, 2, 3]}'}, "Stroma"),
        ({"classification": {}, "name": "left"}, "left"),
        ({"classification": None, "name": "left"}, "left"),
        ({"name": " left "}, "left"),
        ({"name": "ROI: 3"}, "ROI: 3"),
        ({"classification": ["Tumor"]}, "Tumor"),
        ({"classification": ["Tumor", "Positive"]}, "Tumor: Positive"),
        ({"classification": [{"name": "Tumor"}, {"name": "Positive"}]}, "Tumor: Positive"),
        ({"classification": '["Tumor"]'}, "Tumor"),
        ({"classification": "{'name': 'Tumor', 'color': [1, 2, 3]}"}, "Tumor"),
        ({"classification": "[1] Tumor"}, "[1] Tumor"),
        ({"classification": {"names": "Tumor"}}, "Tumor"),
        ({"classification": {"name": ["Tumor", "Positive"]}}, "Tumor: Positive"),
        ({"classification": {"name": "Tumor:Positive"}}, "Tumor:Positive"),
        ({"classification": {"name": "[1]"}}, "[1]"),
        ({"classification": {"name": ":"}}, ":"),
        ({"classification": 3}, "3"),
        ({"Classification": {"name": "Tumor"}}, "Tumor"),
        ({"classification": {"color": [1, 2, 3]}}, None),
        ({"classification": []}, None),
        ({"class": "Tumor", "name": "left"}, "Tumor"),
        ({"class_name": "Tumor"}, "Tumor"),
        ({"label": "Tumor"}, "Tumor"),
        ({"name": "left", "label": 7}, "left"),
        ({"type": "Tumor"}, "Tumor"),
        ({"name": ""}, None),
        ({}, None),
    ],
)
def test_the_class_is_found_in_every_dialect(properties: dict[str, Any], label: str | None) -> None:
    assert read(of(POLYGON, **properties))[0].label == label


@pytest.mark.parametrize(
    ("classification", "classes"),
    [
        ({"name": "Tumor"}, ("Tumor",)),
        ({"names": ["Tumor", "Positive"]}, ("Tumor: Positive", "Tumor")),
        ("Tumor: Positive", ("Tumor: Positive", "Tumor")),
        ({"name": "a:b :c"}, ("a:b :c", "a: b", "a")),
        ({"name": ":"}, (":",)),
        (["a", "b", "c"], ("a: b: c", "a: b", "a")),
        ({"name": "Positive", "parentClass": {"name": "Tumor"}}, ("Tumor: Positive", "Tumor")),
    ],
)
def test_a_derived_class_is_a_part_of_its_base(classification: Any, classes: tuple[str, ...]) -> None:
    assert read(of(POLYGON, classification=classification))[0].classes == classes
    assert read(of(POLYGON, name="Tumor: Positive"))[0].classes == ("Tumor: Positive",)


def test_what_has_no_area_is_counted() -> None:
    line = {"type": "LineString", "coordinates": [[1, 2], [3, 4]]}
    empty = [{"type": "Polygon", "coordinates": []}, {"type": "MultiPolygon", "coordinates": []}]
    document = [of(line), of(line), of({"type": "Point", "coordinates": [1, 2]}), of(None), *empty, POLYGON]
    found = read_geojson(json.dumps(document).encode())
    assert len(found.polygons) == 1
    assert found.left_out == {
        "LineString": 2, "Point": 1, "Feature without geometry": 1,
        "empty Polygon": 1, "empty MultiPolygon": 1,
    }  # fmt: skip


def test_empty_outlines_are_counted_and_empty_holes_are_none() -> None:
    ring = POLYGON["coordinates"][0]
    empty = [
        {"type": "Polygon", "coordinates": [[]]},
        {"type": "MultiPolygon", "coordinates": [[[]], [ring]]},
    ]
    whole = {"type": "Polygon", "coordinates": [ring, []]}
    found = read_geojson(json.dumps([of(geometry) for geometry in ({}, *empty, whole)]).encode())
    assert [[part.tolist() for part in polygon.rings] for polygon in found.polygons] == [[ring], [ring]]
    assert found.left_out == {"Feature without geometry": 1, "empty Polygon": 1, "empty MultiPolygon": 1}


@pytest.mark.parametrize(
    ("document", "name"), [({"features": [POLYGON]}, "type"), ({"type": "Feature"}, "geometry")]
)
def test_what_an_object_lacks_is_named(document: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=f"an object lacks '{name}'"):
        read_geojson(json.dumps(document).encode())


def test_children_have_classes_of_their_own() -> None:
    child = of(POLYGON, classification={"name": "Necrosis"})
    parent = of(POLYGON, classification={"name": "Tumor"}, childObjects=[child, of(POLYGON)])
    assert [p.label for p in read(parent)] == ["Tumor", "Necrosis", None]
    beside = of(POLYGON, classification={"name": "Tumor"}) | {"childObjects": [child, of(POLYGON)]}
    assert [p.label for p in read([beside])] == ["Tumor", "Necrosis", None]
    assert [p.label for p in read(of(None) | {"childObjects": [child]})] == ["Necrosis"]


def test_a_class_beside_the_properties_is_read() -> None:
    assert read(of(POLYGON) | {"classification": {"name": "Tumor"}})[0].label == "Tumor"
    assert read({"type": "Feature", "geometry": POLYGON, "properties": None, "class": "T"})[0].label == "T"
    both = of(POLYGON, classification={"name": "Tumor"}) | {"classification": "Stroma", "id": "x"}
    assert read(both)[0].label == "Tumor"
    assert read(of(POLYGON) | {"id": "Tumor", "bbox": [0, 0, 1, 1]})[0].label is None


@pytest.mark.parametrize(
    ("properties", "what"),
    [
        ({"objectType": "tmaCore", "isMissing": True, "name": "A-2"}, "missing TMA core"),
        ({"objectType": "root"}, "root object (the whole slide)"),
    ],
)
def test_outlines_that_are_no_regions_are_counted(properties: dict[str, Any], what: str) -> None:
    core = of(POLYGON, objectType="tmaCore", isMissing=False, name="A-1")
    inner = of(POLYGON, classification="Tumor")
    found = read_geojson(json.dumps([core, of(POLYGON, **properties, childObjects=[inner])]).encode())
    assert [polygon.label for polygon in found.polygons] == ["A-1", "Tumor"]
    assert found.left_out == {what: 1}


@pytest.mark.parametrize(
    "document",
    [
        {"type": "Polygon"},
        {"type": "Polygon", "coordinates": [[[1, 2], [3, 4]]]},
        {"type": "Polygon", "coordinates": [[["a", "b"]] * 4]},
        {"type": "Polygon", "coordinates": [[[1, 2], [3, 4], [float("nan"), 5]]]},
        {"type": "Polygon", "coordinates": [[[1, 2], [3, 4], [float("inf"), 5]]]},
        {"type": "Polygon", "coordinates": [[[1, 2], [3, 4], [10**400, 5]]]},
        {"type": "Polygon", "coordinates": [[[1, 2], [3, 4, 5], [6, 7]]]},
        {"type": "Polygon", "coordinates": 7},
        {"type": "Feature", "properties": {}},
        of(POLYGON) | {"properties": "none"},
        {"type": "FeatureCollection", "features": None} | {"features": 3},
        {"polygons": [SQUARE]},
        {"type": "Circle", "coordinates": [SQUARE]},
        of(POLYGON, classification={"id": 3}),
        of(POLYGON, classification=[{"title": "Tumor"}]),
        [["Polygon"]],
        "Polygon",
        7,
    ],
)
def test_what_is_not_geojson_is_refused(document: Any) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        read(document)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"\x89PNG", QUPATH_05.encode()[:400]])
def test_what_is_not_json_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        read_geojson(content)


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"type":"Feature","geometry":' * 20_000])
def test_a_document_nested_without_end_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="deeply"):
        read_geojson(content)
