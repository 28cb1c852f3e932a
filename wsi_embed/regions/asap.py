"""Annotations in ASAP's XML format: Camelyon16, Camelyon17, TIGER and others.

ASAP (https://github.com/computationalpathologygroup/ASAP) counts pixels from the corner of level 0.
"""

from __future__ import annotations

import itertools
import math
import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from wsi_embed.regions.polygons import Areas, Colour, Polygon, class_key

# Types of annotations, case-insensitive. A spline's points are on its outline.
AREAS = frozenset({"polygon", "spline", "rectangle", ""})
WITHOUT_AREA = frozenset({"dot", "pointset", "measurement", "none"})
# Elements that identify the XML of other programs, in lower case.
OTHER_PROGRAMS = {
    "Aperio ImageScope": "./annotation/regions",
    "Hamamatsu NDP.view": ".//ndpviewstate",
    "Sedeen": ".//overlays",
    "labelImg (Pascal VOC)": ".//object/bndbox",
}
AS_GEOJSON = "write them as GeoJSON polygons in level-0 pixels, with the class as the property classification"
# Names of the parent groups by key of the group's name: several, if groups in them have one name.
Groups = Mapping[str, Sequence[str]]


class OtherProgramError(ValueError):
    """Error for XML annotations of another program, with a remedy."""


def read_asap(content: bytes) -> Areas:
    """Read the areas of an ASAP annotation file.

    The class of an annotation is its group (`PartOfGroup`), or else its name. Groups may be nested.
    Annotations of other types, and those with fewer than three points, which are clicks, are left out.

    Raises:
        ValueError: If the content is not ASAP XML, or declares entities, which could expand without limit.
    """
    root = _root(content)
    _join_groups(root)
    groups = _parents(root)
    polygons, left_out, unsure = list[Polygon](), Counter[str](), list[str]()
    for node in root.iter("annotation"):
        kind = node.get("type", "").strip()
        points = node.findall("coordinates/coordinate")
        if kind.lower() in WITHOUT_AREA:
            left_out[kind] += 1
        elif kind.lower() not in AREAS:
            left_out[f"{kind} (an unknown type)"] += 1
        elif len(points) < 3:
            left_out[f"{kind or 'Polygon'} of fewer than three points"] += 1
        else:
            polygons.append(_polygon(node, points, groups, unsure))
    if not unsure:
        return Areas(polygons, left_out)
    return Areas(
        polygons,
        left_out,
        (f"points of {', '.join(unsure)} have an Order twice, so they are taken as the file lists them",),
    )


def _root(content: bytes) -> ET.Element:
    """Parse the document, with names of elements and attributes in lower case."""
    encoding = None  # the one that the file declares
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        content, encoding = content.decode("utf-16").encode(), "utf-8"
    if re.search(rb"<!(DOCTYPE|ENTITY)", content):
        raise ValueError("it declares a document type, which ASAP never does")
    try:
        root = ET.fromstring(content, ET.XMLParser(encoding=encoding))
    except (ET.ParseError, LookupError) as error:  # LookupError: unknown encoding
        raise ValueError(f"broken XML, {error}") from error
    name = root.tag
    for node in root.iter():
        node.tag, node.attrib = node.tag.lower(), {name.lower(): text for name, text in node.items()}
    if root.tag != "asap_annotations":
        if program := next(
            (name for name, mark in OTHER_PROGRAMS.items() if root.find(mark) is not None), None
        ):
            raise OtherProgramError(f"annotations of {program}, which are not read; {AS_GEOJSON}")
        raise ValueError(f"its root is <{name}>, ASAP's is <ASAP_Annotations>")
    return root


def _join_groups(root: ET.Element) -> None:
    """Set the enclosing group of each group and annotation that does not name one itself."""
    left = [(root, "")]
    while left:
        node, group = left.pop()
        if group and not _group(node):
            node.set("partofgroup", group)
        inner = node.get("name", "") if node.tag == "group" else group
        left += ((child, inner) for child in node)


def _parents(root: ET.Element) -> Groups:
    found: dict[str, dict[str, str]] = {}
    for node in root.iter("group"):
        if group := _group(node):
            found.setdefault(class_key(node.get("name")), {}).setdefault(class_key(group), group)
    return {key: list(parents.values()) for key, parents in found.items()}


def _polygon(node: ET.Element, points: list[ET.Element], groups: Groups, unsure: list[str]) -> Polygon:
    ring = np.array([(_number(point, "X"), _number(point, "Y")) for point in points])
    if not np.isfinite(ring).all():
        raise ValueError(f"a coordinate of annotation {node.get('name')!r} is not a finite number")
    label = _group(node) or node.get("name", "").strip() or None
    above, doubtful = _above(label, groups)
    return Polygon(
        [ring[_order(node, points, unsure)]], label, _colour(node), tuple(above), unsure=tuple(doubtful)
    )


def _group(node: ET.Element) -> str:
    """Return the group of an annotation or group; empty without one."""
    group = node.get("partofgroup", "").strip()
    return "" if group.lower() == "none" else group


def _above(label: str | None, groups: Groups) -> tuple[list[str], list[str]]:
    """Return the groups that contain a group, nearest first, and those of which one does."""
    found, key = list[str](), class_key(label)
    seen = {key}  # groups may contain each other
    while len(parents := groups.get(key, ())) == 1 and (key := class_key(parents[0])) not in seen:
        seen.add(key)
        found.append(parents[0])
    doubtful, left = list[str](), list(parents) if len(parents) > 1 else []
    while left:
        group = left.pop(0)
        if (key := class_key(group)) not in seen:
            seen.add(key)
            doubtful.append(group)
            left += groups.get(key, ())
    return found, doubtful


def _order(node: ET.Element, points: list[ET.Element], unsure: list[str]) -> list[int]:
    """Return the order of the points.

    If two points have the same order and the points are not sorted, the order of the file is kept, and the
    name of the annotation is appended to `unsure`.
    """
    orders = [_number(point, "Order") if point.get("order") else None for point in points]
    known = [order for order in orders if order is not None]
    if not all(map(math.isfinite, known)):
        raise ValueError(f"an Order of annotation {node.get('name')!r} is not a finite number")
    if all(a <= b for a, b in itertools.pairwise(known)):
        return list(range(len(points)))
    if len(known) < len(points):
        raise ValueError(f"some points of annotation {node.get('name')!r} have an Order and others have none")
    if len(set(known)) < len(known):
        unsure.append(repr(node.get("name", "")))
        return list(range(len(points)))
    return sorted(range(len(points)), key=known.__getitem__)


def _number(point: ET.Element, name: str) -> float:
    text = point.get(name.lower())
    if text is None:
        raise ValueError(f"a <Coordinate> has no {name}")
    return float(text.replace(",", "."))  # decimal comma of some locales


def _colour(node: ET.Element) -> Colour | None:
    match = re.fullmatch(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})", node.get("color", ""))
    return (int(match[1], 16), int(match[2], 16), int(match[3], 16)) if match else None
