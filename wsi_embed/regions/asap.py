"""Annotations as ASAP writes them (XML): Camelyon16, Camelyon17, TIGER and others.

ASAP (https://github.com/computationalpathologygroup/ASAP) counts pixels from the corner of level 0.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np

from wsi_embed.regions.polygons import Colour, Polygon

# ASAP's other types (Dot, PointSet, Measurement) have no area. A spline's points lie on its outline.
AREAS = frozenset({"Polygon", "Spline", "Rectangle"})


def read_asap(content: bytes) -> list[Polygon]:
    """Read the areas of an ASAP annotation file.

    An annotation's class is its group (`PartOfGroup`); without one, its name. Annotations with fewer
    than three points are clicks, not areas, and are left out.

    Raises:
        ValueError: It is not such a file, or it declares entities, which could blow it up.
    """
    encoding = None  # what the file declares
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        content, encoding = content.decode("utf-16").encode(), "utf-8"
    if re.search(rb"<!(DOCTYPE|ENTITY)", content):
        raise ValueError("it declares a document type, which ASAP never does")
    try:
        root = ET.fromstring(content, ET.XMLParser(encoding=encoding))
    except ET.ParseError as error:
        raise ValueError(f"broken XML, {error}") from error
    if root.tag != "ASAP_Annotations":
        raise ValueError(f"its root is <{root.tag}>, ASAP's is <ASAP_Annotations>")
    found = (_polygon(node) for node in root.iterfind("Annotations/Annotation"))
    return [polygon for polygon in found if polygon is not None]


def _polygon(node: ET.Element) -> Polygon | None:
    if node.get("Type", "Polygon") not in AREAS:
        return None
    points = sorted(
        (int(point.get("Order", number)), _number(point, "X"), _number(point, "Y"))
        for number, point in enumerate(node.iterfind("Coordinates/Coordinate"))
    )
    if len(points) < 3:
        return None
    ring = np.array(points, np.float64)[:, 1:]
    if not np.isfinite(ring).all():
        raise ValueError(f"a coordinate of annotation {node.get('Name')!r} is not a finite number")
    group = node.get("PartOfGroup", "None")
    return Polygon([ring], (group if group != "None" else node.get("Name")) or None, _colour(node))


def _number(point: ET.Element, axis: str) -> float:
    text = point.get(axis)
    if text is None:
        raise ValueError(f"a <Coordinate> has no {axis}")
    return float(text.replace(",", "."))  # some locales' decimal comma


def _colour(node: ET.Element) -> Colour | None:
    match = re.fullmatch(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})", node.get("Color", ""))
    return (int(match[1], 16), int(match[2], 16), int(match[3], 16)) if match else None
