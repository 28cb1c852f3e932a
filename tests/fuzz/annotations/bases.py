"""Annotation files of the same areas, to be mutated: GeoJSON as QuPath and others write it, ASAP XML."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.fuzz.annotations.areas import HOLE, STROMA, TUMOR, Corners
from tests.fuzz.case import Files


def ring(corners: Corners) -> list[list[float]]:
    """Return a ring as GeoJSON wants it, closed."""
    return [list(corner) for corner in [*corners, corners[0]]]


def feature(rings: Sequence[Corners], label: str) -> dict[str, Any]:
    """Return an annotation of QuPath."""
    return {
        "type": "Feature",
        "id": f"00000000-0000-4000-8000-{len(label):012d}",
        "geometry": {"type": "Polygon", "coordinates": [ring(corners) for corners in rings]},
        "properties": {
            "objectType": "annotation",
            "classification": {"name": label, "color": [200, 0, 0]},
            "isLocked": False,
            "measurements": {"Area": 1.5},
        },
    }


def _collection() -> dict[str, Any]:
    return {
        "type": "FeatureCollection",
        "features": [feature([TUMOR, HOLE], "Tumor"), feature([STROMA], "Stroma")],
    }


def _hierarchy() -> list[Any]:
    """Return a list of features as QuPath writes it, one in the other, with a point beside."""
    outer, inner = feature([TUMOR, HOLE], "Tumor"), feature([STROMA], "Stroma")
    outer["properties"]["childObjects"] = [inner]
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [5, 5]}, "properties": {}}
    return [outer, point]


def _many() -> dict[str, Any]:
    """Return multi-polygons and collections of geometries."""
    tumor, stroma = _collection()["features"]
    for one, kind in ((tumor, "MultiPolygon"), (stroma, "GeometryCollection")):
        rings = one["geometry"]["coordinates"]
        inner = {"coordinates": [rings]} if kind == "MultiPolygon" else {"geometries": [one["geometry"]]}
        one["geometry"] = {"type": kind, **inner}
    return {"type": "FeatureCollection", "features": [stroma, tumor]}


def _asap(*, groups: bool) -> bytes:
    """Return ASAP annotations with classes as groups, or as names.

    The hole is reached by a slit, since ASAP has none.
    """
    areas = (("Tumor", "Spline", [*TUMOR, TUMOR[0], *HOLE, HOLE[0]]), ("Stroma", "Rectangle", STROMA))
    text = '<?xml version="1.0"?>\n<ASAP_Annotations>\n<Annotations>\n'
    for label, kind, corners in areas:
        names = f'Name="x" PartOfGroup="{label}"' if groups else f'Name="{label}" PartOfGroup="None"'
        text += f'<Annotation {names} Type="{"Polygon" if groups else kind}" Color="#F4FA58">'
        points = (f'<Coordinate Order="{i}" X="{x}" Y="{y}" />' for i, (x, y) in enumerate(corners))
        text += f"<Coordinates>{''.join(points)}</Coordinates></Annotation>\n"
    text += "</Annotations>\n<AnnotationGroups>\n"
    for label in ("Tumor", "Stroma") if groups else ():
        text += f'<Group Name="{label}" PartOfGroup="None" Color="#64FE2E"><Attributes /></Group>\n'
    return f"{text}</AnnotationGroups>\n</ASAP_Annotations>\n".encode()


def base_files(folder: Path, real: Path | None = None) -> dict[str, Files]:
    """Return the content of every base."""
    documents = {"collection": _collection(), "hierarchy": _hierarchy(), "many": _many()}
    files = {name: {"areas.geojson": json.dumps(value).encode()} for name, value in documents.items()}
    asap = {"asap": _asap(groups=True), "asap, names": _asap(groups=False)}
    return files | {name: {"areas.xml": content} for name, content in asap.items()}
