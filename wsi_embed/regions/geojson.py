"""Reading of GeoJSON in QuPath's dialect, and in others; see `geojson_writer` for writing.

A feature's `properties` contain QuPath's `objectType` (annotation, detection, tile), `classification`
(`{"name": ..., "color": [r, g, b]}`), `isLocked` and `measurements`. QuPath 0.4 and later read a
classification only with its colour, and keep ids only if they are UUIDs. Coordinates are relative to the
corner of the slide's bounds, to which QuPath crops a slide.

Other programs write the class in other properties, or in another form: those in `CLASS_NAMES` are read.
"""

from __future__ import annotations

import ast
import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from wsi_embed.regions.polygons import Areas, Colour, Polygon, Ring
from wsi_embed.util.json_text import json_text

Feature = dict[str, Any]
WITHOUT_AREA = frozenset({"point", "multipoint", "linestring", "multilinestring"})
# Properties that may contain a class, in lower case without separators; the first that is not empty counts.
COLOURS = {"color", "colorRGB"}
CLASS_NAMES = ("classification", "class", "classname", "name", "label", "category", "type", "pathclass")

# Members of a feature that GeoJSON and QuPath define; some programs write further ones instead of properties.
MEMBERS = frozenset({"type", "geometry", "properties", "id", "bbox", "childObjects"})

# Properties that may describe a feature without naming its class, which another property may contain.
NO_CLASS = ("", "name", "type")


def read_geojson(content: bytes) -> Areas:
    """Read the areas of a geometry, a feature, a feature collection or a list of features.

    Points and lines have no area and are left out.

    Raises:
        ValueError: If the content is not GeoJSON.
    """
    polygons, left_out = list[Polygon](), Counter[str]()
    try:
        for found in _parts(json.loads(content), Polygon([])):
            if isinstance(found, Polygon):
                polygons.append(found)
            else:
                left_out[found] += 1
        return Areas(polygons, left_out)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except KeyError as error:
        raise ValueError(f"an object lacks {error}") from error
    except (TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _parts(node: Any, like: Polygon) -> Iterator[Polygon | str]:
    """Yield the areas of a node, with class and colour of `like`, and the kinds of other geometries."""
    if isinstance(node, list):
        for item in node:
            yield from _parts(item, like)
        return
    if node is None:
        return
    kind = str(node["type"])
    match kind.lower():
        case "featurecollection":
            yield from _parts(node["features"], like)
        case "feature":
            yield from _feature_parts(node)
        case "geometrycollection":
            yield from _parts(node["geometries"], like)
        case "polygon" | "multipolygon":
            shapes = [node["coordinates"]] if kind.lower() == "polygon" else node["coordinates"]
            for rings in shapes or [[]]:
                outline = rings and rings[0]  # QuPath and JTS write an empty polygon as [[]]
                yield replace(like, rings=_rings(rings)) if outline else f"empty {kind}"
        case lower if lower in WITHOUT_AREA:
            yield kind
        case _:
            raise ValueError(f"GeoJSON has no type {kind!r}")


def _feature_parts(node: dict[str, Any]) -> Iterator[Polygon | str]:
    """Yield the areas of a feature and of its children; see `_parts`."""
    geometry = node["geometry"] or None
    further = {name: value for name, value in node.items() if name not in MEMBERS}
    properties = {**further, **(node.get("properties") or {})}
    # QuPath's hierarchy of objects
    children = [found for place in (node, properties) if (found := place.get("childObjects"))]
    if reason := _no_region(properties):
        yield reason
    elif geometry is None and not children:
        yield "Feature without geometry"
    else:
        yield from _parts(geometry, _classified(properties))
    yield from _parts(children, Polygon([]))


def _no_region(properties: dict[str, Any]) -> str | None:
    """Return what a feature of QuPath is that has an outline but is no region, or None."""
    if str(properties.get("isMissing")).lower() == "true":
        return "missing TMA core"
    if str(properties.get("objectType")).lower() == "root":
        return "root object (the whole slide)"
    return None


def _rings(rings: list[Any]) -> list[Ring]:
    return [_ring(ring) for ring in rings if ring]


def _ring(points: Any) -> Ring:
    ring = np.asarray(points, np.float64)
    if ring.ndim != 2 or ring.shape[0] < 3 or ring.shape[1] < 2 or not np.isfinite(ring).all():
        raise ValueError("a ring needs at least three points (x, y)")
    return ring[:, :2]


def _classified(properties: dict[str, Any]) -> Polygon:
    """Return a polygon without rings that has the class, or else the name, and the colour of a feature."""
    plain = {"".join(filter(str.isalnum, name)).lower(): value for name, value in properties.items()}
    named = ((name, _class_parts(_decoded(plain.get(name)))) for name in CLASS_NAMES)
    name, parts = next(((name, parts) for name, parts in named if parts), ("", []))
    label = ": ".join(parts)
    # the name of an object is never a class
    steps = [step for step in map(str.strip, label.split(":")) if step] if name != "name" else []
    above = tuple(": ".join(steps[:count]) for count in range(len(steps) - 1, 0, -1))
    found = _decoded(plain.get("classification"))
    colour = _colour(found.get("color")) if isinstance(found, dict) else None
    unread = tuple(_texts(properties)) if name in NO_CLASS else ()
    return Polygon([], label or None, colour, above, unread)


def _texts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text among the properties of a feature, with the names that lead to it."""
    value = _decoded(value)
    if isinstance(value, dict):
        for inner, part in value.items():
            if inner != "childObjects":
                yield from _texts(part, f"{name}.{inner}" if name else inner)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part, name)
    elif isinstance(value, str | int):
        yield name, str(value)


def _class_parts(found: Any) -> list[str]:
    """Return the names that form a class, base class first.

    QuPath writes `{"name": "Tumor"}`, `{"names": ["Tumor", "Positive"]}` for derived classes, and before 0.4
    the latter as `{"name": "Positive", "parentClass": {"name": "Tumor"}}`; others write only the name or the
    list, or (GeoPandas) the whole object as a string.

    Raises:
        ValueError: If the value has none of these forms.
    """
    if found is None or isinstance(found, str | int | float):
        return [text] if found is not None and (text := str(found).strip()) else []
    if isinstance(found, list):
        return [name for part in found for name in _class_parts(part)]
    if isinstance(found, dict) and (found.keys() & {"name", "names"} or not found.keys() - COLOURS):
        return _class_parts(found.get("names")) or [
            *_class_parts(found.get("parentClass")),
            *_class_parts(found.get("name")),
        ]
    raise ValueError(f"a class of an unknown form: {json_text(found)[:80]}")


def _decoded(found: Any) -> Any:
    """Decode a string that contains JSON or a Python literal; return other values unchanged."""
    if isinstance(found, str) and found.lstrip()[:1] in ("{", "["):
        for decode in (json.loads, ast.literal_eval):
            with contextlib.suppress(ValueError, SyntaxError):
                return decode(found)
    return found


def _colour(value: Any) -> Colour | None:
    if isinstance(value, list) and len(value) in (3, 4) and all(isinstance(v, int) for v in value):
        return value[0], value[1], value[2]
    return None
