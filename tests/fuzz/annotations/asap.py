"""Mutations of ASAP annotations that leave their areas as they are, and others."""

from __future__ import annotations

import random
from collections.abc import Callable
from xml.etree.ElementTree import Element, SubElement

from tests.fuzz.values import bad_text

Mutation = Callable[[Element, random.Random], None]


def _annotations(root: Element) -> list[Element]:
    return root.findall("Annotations/Annotation")


def _points(root: Element) -> list[Element]:
    """Return the elements that hold the points of the annotations."""
    return root.findall("Annotations/Annotation/Coordinates")


# Mutations that leave the areas as they are.


def shuffle_points(root: Element, rng: random.Random) -> None:
    """Write points in another order than that which they state."""
    for points in _points(root):
        inner = list(points)
        if len({point.get("Order") for point in inner} - {None}) == len(inner):
            rng.shuffle(inner)
            points[:] = inner


def renumber(root: Element, rng: random.Random) -> None:
    """Number points from another start, in larger steps, all alike, or not at all: they lie in order."""
    start, step = rng.choice((-3, 0, 1, 1000)), rng.choice((1, 7, 0))
    keep = rng.random() < 0.8
    for points in _points(root):
        inner = list(points)
        if any("Order" in point.attrib for point in inner):
            inner.sort(key=lambda point: int(point.get("Order", "0")))
        points[:] = inner
        for number, point in enumerate(inner):
            point.attrib.pop("Order", None)
            if keep:
                point.set("Order", str(start + step * number))


def reverse_points(root: Element, rng: random.Random) -> None:
    """Write outlines the other way round."""
    for points in _points(root):
        numbers = [int(point.get("Order", "0")) for point in points]
        for point in points:
            point.set("Order", str(max(numbers) - int(point.get("Order", "0"))))
        if len(set(numbers)) < len(numbers):  # then the file's order counts
            points[:] = list(points)[::-1]


def write_numbers(root: Element, rng: random.Random) -> None:
    """Write coordinates with decimal commas, exponents or many digits."""
    forms = ("{:.1f}", "{:e}", "{:.17g}", " {} ", "{:+}")
    for point in root.iterfind("Annotations/Annotation/Coordinates/Coordinate"):
        form, comma = rng.choice(forms), rng.random() < 0.3
        for axis in "XY":
            text = form.format(float(point.get(axis, "0").replace(",", ".")))
            point.set(axis, text.replace(".", ",") if comma else text)


def name_instead(root: Element, rng: random.Random) -> None:
    """Give an annotation its class as its name, in no group."""
    for node in _annotations(root):
        if rng.random() < 0.5 and node.get("PartOfGroup", "None") != "None":
            node.set("Name", node.get("PartOfGroup", ""))
            node.set("PartOfGroup", "None")


def nest_groups(root: Element, rng: random.Random) -> None:
    """Move an annotation into a group of its group, sometimes in a circle."""
    groups = root.find("AnnotationGroups")
    nodes = [node for node in _annotations(root) if node.get("PartOfGroup", "None") != "None"]
    if groups is None or not nodes:
        return
    node = rng.choice(nodes)
    outer = node.get("PartOfGroup", "")
    inner = f"{outer}_sub"
    SubElement(groups, "Group", {"Name": inner, "PartOfGroup": outer, "Color": "#64FE2E"})
    node.set("PartOfGroup", inner)
    if rng.random() < 0.2:
        for group in groups:
            # one that is in no other: a circle would take a group out of the group it is in
            if group.get("Name") == outer and group.get("PartOfGroup", "None") == "None":
                group.set("PartOfGroup", rng.choice((inner, outer)))


def change_type(root: Element, rng: random.Random) -> None:
    """Call an outline a spline, or write its type in lower case."""
    for node in _annotations(root):
        node.set("Type", rng.choice(("Polygon", "Spline", "polygon", "POLYGON")))


def add_clicks(root: Element, rng: random.Random) -> None:
    """Add annotations without an area, comments and attributes of others."""
    parent = root.find("Annotations")
    if parent is None:
        return
    kind = rng.choice(("Dot", "PointSet", "Measurement"))
    node = SubElement(parent, "Annotation", {"Name": "x", "Type": kind, "PartOfGroup": "None", "Note": "ä"})
    points = SubElement(node, "Coordinates")
    for number in range(rng.choice((0, 1, 2, 5))):
        SubElement(points, "Coordinate", {"Order": str(number), "X": str(7 * number), "Y": "5"})


def repeat_annotation(root: Element, rng: random.Random) -> None:
    """Write an annotation twice, or often."""
    parent = root.find("Annotations")
    if parent is not None and len(parent):
        parent.extend([rng.choice(list(parent))] * rng.choice((1, 2, 100)))


KEEPING: tuple[Mutation, ...] = (
    shuffle_points, renumber, reverse_points, write_numbers, name_instead, nest_groups, change_type,
    add_clicks, repeat_annotation,
)  # fmt: skip


# Mutations that need not.


def change_point(root: Element, rng: random.Random) -> None:
    """Make a point's number or place none."""
    if points := root.findall("Annotations/Annotation/Coordinates/Coordinate"):
        rng.choice(points).set(rng.choice(("Order", "X", "Y")), bad_text(rng))


def draw_finely(root: Element, rng: random.Random) -> None:
    """Draw a zigzag of very many points over the whole slide."""
    if found := _points(root):
        count = rng.choice((100, 2000))
        points = rng.choice(found)
        points[:] = [
            Element("Coordinate", {"Order": str(i), "X": str(400 * i / count), "Y": str(300 * (i % 2))})
            for i in range(count)
        ]


def tie_groups(root: Element, rng: random.Random) -> None:
    """Make groups parts of each other, long chains or circles."""
    groups = root.find("AnnotationGroups")
    if groups is None:
        return
    count = rng.choice((2, 50, 5000))
    for number in range(count):
        parent = f"g{(number + 1) % count}" if rng.random() < 0.99 else "None"
        SubElement(groups, "Group", {"Name": f"g{number}", "PartOfGroup": parent})
    for node in _annotations(root):
        node.set("PartOfGroup", f"g{rng.randrange(count)}")


CHANGING: tuple[Mutation, ...] = (change_point, change_point, draw_finely, tie_groups)
