"""GeoJSON in QuPath's dialect, in and out.

A feature's `properties` hold QuPath's `objectType` (annotation, detection, tile), `classification`
(`{"name": ..., "color": [r, g, b]}`), `isLocked` and `measurements`. QuPath 0.4 and later read a
classification only with its colour, and keep ids only where they are UUIDs. Pixels count from the corner
of the slide's bounds, to which QuPath crops a slide.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from wsi_embed.errors import WsiEmbedError
from wsi_embed.files import replacing
from wsi_embed.regions.polygons import Colour, Polygon, Ring

Feature = dict[str, Any]
WITHOUT_AREA = frozenset({"Point", "MultiPoint", "LineString", "MultiLineString"})


def read_geojson(content: bytes) -> list[Polygon]:
    """Read the areas of a geometry, a feature, a feature collection or a list of features.

    Points and lines have no area and are left out.

    Raises:
        ValueError: It is not GeoJSON.
    """
    try:
        return list(_polygons(json.loads(content), None, None))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _polygons(node: Any, label: str | None, colour: Colour | None) -> Iterator[Polygon]:
    if isinstance(node, list):
        for item in node:
            yield from _polygons(item, label, colour)
        return
    if node is None:  # a feature without geometry
        return
    kind = node["type"]
    if kind == "FeatureCollection":
        yield from _polygons(node["features"], label, colour)
    elif kind == "Feature":
        properties = node.get("properties") or {}
        yield from _polygons(node["geometry"], *_classification(properties))
        # where QuPath wrote the hierarchy
        yield from _polygons(properties.get("childObjects"), None, None)
    elif kind == "GeometryCollection":
        yield from _polygons(node["geometries"], label, colour)
    elif kind == "Polygon" and node["coordinates"]:
        yield Polygon([_ring(ring) for ring in node["coordinates"]], label, colour)
    elif kind == "MultiPolygon":
        for rings in filter(None, node["coordinates"]):
            yield Polygon([_ring(ring) for ring in rings], label, colour)
    elif kind != "Polygon" and kind not in WITHOUT_AREA:
        raise ValueError(f"GeoJSON has no type {kind!r}")


def _ring(points: Any) -> Ring:
    ring = np.asarray(points, np.float64)
    if ring.ndim != 2 or ring.shape[0] < 3 or ring.shape[1] < 2 or not np.isfinite(ring).all():
        raise ValueError("a ring needs at least three points (x, y)")
    return ring[:, :2]


def _classification(properties: dict[str, Any]) -> tuple[str | None, Colour | None]:
    """Class, or else name, and colour of a feature.

    QuPath writes `{"name": "Tumor"}`, `{"names": ["Tumor", "Positive"]}` for derived classes, and before
    0.4 the latter as `{"name": "Positive", "parentClass": {"name": "Tumor"}}`; others write the name
    alone, or (GeoPandas) the whole as a string.
    """
    found = properties.get("classification")
    if isinstance(found, str) and found.lstrip().startswith("{"):
        with contextlib.suppress(ValueError):
            found = json.loads(found)
    colour = _colour(found.get("color")) if isinstance(found, dict) else None
    return (_class_name(found) or str(properties.get("name") or "")).strip() or None, colour


def _class_name(found: Any) -> str:
    if isinstance(found, dict):
        names = found.get("names") or [_class_name(found.get("parentClass")), found.get("name")]
        return ": ".join(str(name) for name in names if name)
    return found if isinstance(found, str) else ""


def _colour(value: Any) -> Colour | None:
    if isinstance(value, list) and len(value) in (3, 4) and all(isinstance(v, int) for v in value):
        return value[0], value[1], value[2]
    return None


def feature(
    polygon: Polygon,
    key: str,
    kind: Literal["annotation", "detection", "tile"] = "annotation",
    *,
    locked: bool = False,
    measurements: Mapping[str, float] | None = None,
) -> Feature:
    """A QuPath object.

    Args:
        polygon: Its outline, class and colour.
        key: What makes it unique; the same key gives the same id.
        kind: QuPath's type of object.
        locked: Whether QuPath should keep it from being moved by accident.
        measurements: Numbers that QuPath can colour by.
    """
    properties: Feature = {"objectType": kind}
    if polygon.label is not None:
        properties["classification"] = {"name": polygon.label, "color": polygon.colour or (128, 128, 128)}
    if locked:
        properties["isLocked"] = True
    if measurements:
        properties["measurements"] = measurements
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"wsi-embed/{key}")),
        "geometry": {"type": "Polygon", "coordinates": [_closed(ring) for ring in polygon.rings]},
        "properties": properties,
    }


def _closed(ring: Ring) -> list[list[float]]:
    """A ring as GeoJSON wants it: the first point is also the last. To 1/100 pixel, as QuPath writes."""
    values = np.round(ring, 2)
    whole = values.astype(np.int64)
    points: list[list[float]] = (whole if np.array_equal(whole, values) else values).tolist()
    return points if points[0] == points[-1] else [*points, points[0]]


def write_geojson(path: Path, features: Iterable[Feature]) -> int:
    """Write a feature collection, one feature a line; whole or not at all.

    Returns:
        Number of features.

    Raises:
        WsiEmbedError: It cannot be written.
    """
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as lines:
            lines.write('{"type":"FeatureCollection","features":[')
            for item in features:
                lines.write(",\n" if count else "\n")
                lines.write(json.dumps(item, separators=(",", ":")))
                count += 1
            lines.write("\n]}\n")
    except OSError as error:
        raise WsiEmbedError(f"{path.name}: cannot be written ({error.strerror})") from error
    return count
