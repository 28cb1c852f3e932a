"""GeoJSON that is written: as QuPath reads it, and equal to the JSON of plain dicts."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_embed.errors import WsiEmbedError
from wsi_embed.regions.geojson import read_geojson
from wsi_embed.regions.geojson_writer import area_features, tile_features, write_geojson
from wsi_embed.regions.polygons import Colour, Polygon

SQUARE = [[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]
coordinates = st.floats(-1e6, 1e6).map(lambda v: round(v, 2))
rings = st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=6, unique=True)
labels = st.none() | st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda t: t.strip() == t)


def oracle(kind: str, key: str, points: Any, properties: dict[str, Any]) -> str:
    """The text of a feature as `json.dumps` writes it."""
    found = {
        "type": "Feature",
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"wsi-embed/{key}")),
        "geometry": {"type": "Polygon", "coordinates": points},
        "properties": {"objectType": kind, **properties},
    }
    return json.dumps(found, separators=(",", ":"))


def rounded(ring: list[list[float]]) -> list[list[float]]:
    """A ring in 1/100 pixel, closed, and of whole numbers if all are."""
    points = [[round(x, 2), round(y, 2)] for x, y in ring]
    whole = all(value.is_integer() for point in points for value in point)
    points = [[int(x), int(y)] for x, y in points] if whole else points
    return points if points[0] == points[-1] else [*points, points[0]]


@given(st.lists(st.lists(rings, min_size=1, max_size=3), max_size=4), labels)
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, shapes: list[list[list[tuple[float, float]]]], label: str | None
) -> None:
    polygons = [Polygon([np.array(r) for r in rs], label, (1, 2, 3)) for rs in shapes]
    path = tmp_path_factory.mktemp("round") / "trip.geojson"
    keys = [str(number) for number in range(len(polygons))]
    assert write_geojson(path, area_features(polygons, keys)) == len(polygons)
    found = read_geojson(path.read_bytes()).polygons
    assert len(found) == len(polygons)
    for before, after in zip(polygons, found, strict=True):
        assert (after.label, after.colour) == (label, (1, 2, 3) if label else None)
        for a, b in zip(before.rings, after.rings, strict=True):
            assert np.array_equal(np.vstack([a, a[:1]]), b)


whole_or_not = st.integers(-(10**6), 10**6).map(float) | st.floats(-1e6, 1e6)
any_rings = st.lists(st.lists(st.tuples(whole_or_not, whole_or_not), min_size=3, max_size=5), min_size=1)


@given(st.lists(st.tuples(any_rings, labels, st.booleans()), max_size=4), st.booleans())
def test_areas_are_the_json_of_plain_dicts(shapes: list[tuple[Any, str | None, bool]], locked: bool) -> None:
    polygons = [
        Polygon([np.array(ring, float) for ring in some], label, (1, 2, 3) if coloured else None)
        for some, label, coloured in shapes
    ]
    keys = [f"a/{number}" for number in range(len(polygons))]
    expected = []
    for (_, label, coloured), polygon, key in zip(shapes, polygons, keys, strict=True):
        colour = (1, 2, 3) if coloured else (128, 128, 128)
        properties: dict[str, Any] = (
            {} if label is None else {"classification": {"name": label, "color": colour}}
        )
        points = [rounded(np.round(ring, 2).tolist()) for ring in polygon.rings]
        properties |= {"isLocked": True} if locked else {}
        expected.append(oracle("annotation", key, points, properties))
    assert list(area_features(polygons, keys, locked=locked)) == expected


@given(
    st.lists(st.tuples(whole_or_not, whole_or_not), min_size=1, max_size=5),
    st.sampled_from([224.0, 448.51, 1000 / 3]),
    st.dictionaries(st.sampled_from(["x", "50 %", 'a "b" %s', "µ"]), st.floats(), min_size=1),
    labels,
)
def test_tiles_are_the_json_of_plain_dicts(
    corners: list[tuple[float, float]], extent: float, numbers: dict[str, float], label: str | None
) -> None:
    classes: list[tuple[str, Colour] | None] = [None if label is None else (label, (1, 2, 3))] * len(corners)
    classes[0] = ("first %d", (4, 5, 6))
    keys = [f"s/tile/{number}" for number in range(len(corners))]
    measured = {name: np.full(len(corners), value) for name, value in numbers.items()}
    unit = np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) * extent
    squares = np.round(np.array(corners)[:, None] + unit, 2)
    whole = bool((squares == squares.astype(int)).all())
    expected = []
    for key, named, square in zip(keys, classes, squares, strict=True):
        ring = (square.astype(int) if whole else square).tolist()
        properties: dict[str, Any] = (
            {"classification": {"name": named[0], "color": named[1]}} if named else {}
        )
        properties["measurements"] = {n: v for n, v in numbers.items() if math.isfinite(v)}
        expected.append(oracle("tile", key, [[*ring, ring[0]]], properties))
    assert list(tile_features(np.array(corners), extent, keys, classes, measured)) == expected


def test_a_feature_has_what_qupath_asks_for() -> None:
    """Its reader takes a class only with its colour, keeps only ids that are UUIDs, wants rings closed."""
    corners, measured = np.zeros((1, 2)), {"x": np.array([1.5])}
    (text,) = tile_features(corners, 10.0, ["a"], [("Tumor", (128, 128, 128))], measured)
    made = json.loads(text)
    assert made == {
        "type": "Feature",
        "id": str(uuid.UUID(made["id"])),
        "geometry": {"type": "Polygon", "coordinates": [SQUARE]},
        "properties": {
            "objectType": "tile",
            "classification": {"name": "Tumor", "color": [128, 128, 128]},
            "measurements": {"x": 1.5},
        },
    }
    square = Polygon([np.array(SQUARE[:-1], float)])
    same, other = (json.loads(feature) for feature in area_features([square] * 2, ["a", "b"]))
    assert same["id"] == made["id"] != other["id"]
    assert same["geometry"] == made["geometry"]
    assert same["properties"] == {"objectType": "annotation"}


def test_no_tiles_and_no_areas_are_no_features() -> None:
    assert list(tile_features(np.zeros((0, 2)), 10.0, [], [], {"x": np.zeros(0)})) == []
    assert list(area_features([], [])) == []


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    path.write_text("before")

    def broken() -> Iterator[str]:
        yield from area_features([Polygon([np.array(SQUARE, float)])], ["a"])
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_geojson(path, broken())
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["a.geojson"]
    with pytest.raises(WsiEmbedError, match=r"^b\.geojson: cannot be written"):
        write_geojson(path / "b.geojson", [])


def test_nothing_is_still_a_feature_collection(tmp_path: Path) -> None:
    assert write_geojson(tmp_path / "a.geojson", []) == 0
    assert json.loads((tmp_path / "a.geojson").read_text()) == {"type": "FeatureCollection", "features": []}
