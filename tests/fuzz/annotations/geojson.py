"""Mutations of GeoJSON that leave its areas as they are, and others."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator
from typing import Any

from tests.fuzz.values import bad_text

# Stands for what JSON can hold, but Python cannot write.
DEEP = "@deep@"
Node = Any
Mutation = Callable[[Node, random.Random], Node]


def _nodes(tree: Node) -> Iterator[tuple[Any, Any, Node]]:
    """Yield all values with the list or object that they are in, and their place there."""
    waiting = [tree]
    while waiting:
        holder = waiting.pop()
        places = holder.items() if isinstance(holder, dict) else enumerate(holder)
        for place, value in list(places):
            yield holder, place, value
            if isinstance(value, dict | list):
                waiting.append(value)


def _geometries(tree: Node) -> list[dict[str, Any]]:
    return [v for _, _, v in _nodes([tree]) if isinstance(v, dict) and "coordinates" in v]


def _features(tree: Node) -> list[dict[str, Any]]:
    return [v for _, _, v in _nodes([tree]) if isinstance(v, dict) and v.get("type") == "Feature"]


def _middle(a: float, b: float) -> float:
    """Return the mean of two numbers, which may be integers that no float can hold."""
    return a if max(abs(a), abs(b)) > 1e300 else (a + b) / 2


def _rings(tree: Node) -> list[list[Any]]:
    found = []
    for geometry in _geometries(tree):
        polygons = (
            geometry["coordinates"] if geometry.get("type") == "MultiPolygon" else [geometry["coordinates"]]
        )
        if geometry.get("type") in ("Polygon", "MultiPolygon"):
            found += [ring for rings in polygons for ring in rings]
    return found


# Mutations that leave the areas as they are.


def shuffle_keys(tree: Node, rng: random.Random) -> Node:
    """Write the members of objects in another order."""
    for _, _, value in _nodes([tree]):
        if isinstance(value, dict):
            items = list(value.items())
            rng.shuffle(items)
            value.clear()
            value.update(items)
    return tree


def turn_rings(tree: Node, rng: random.Random) -> Node:
    """Begin rings at another point, or write them the other way round, closed or not."""
    for ring in _rings(tree):
        points = ring[:-1] if len(ring) > 3 and ring[0] == ring[-1] else ring[:]
        start = rng.randrange(len(points))
        points = points[start:] + points[:start]
        if rng.random() < 0.5:
            points.reverse()
        ring[:] = points if rng.random() < 0.3 else [*points, points[0]]
    return tree


def add_points(tree: Node, rng: random.Random) -> Node:
    """Repeat points, or add points on the way between two."""
    for ring in _rings(tree):
        at = rng.randrange(len(ring))
        a, b = ring[at - 1], ring[at]
        ring.insert(at, list(b) if rng.random() < 0.5 else [_middle(u, v) for u, v in zip(a, b, strict=True)])
    return tree


def add_heights(tree: Node, rng: random.Random) -> Node:
    """Give all points a third coordinate."""
    for ring in _rings(tree):
        ring[:] = [[*point[:2], rng.choice((0, 1.5))] for point in ring]
    return tree


def add_members(tree: Node, rng: random.Random) -> Node:
    """Add members that others use: boxes, planes, names."""
    more = ({"bbox": [0, 0, 1, 1]}, {"plane": {"c": -1, "z": 0, "t": 0}}, {"isEllipse": True}, {"crs": None})
    for _, _, value in _nodes([tree]):
        if isinstance(value, dict) and value.get("type") in ("Feature", "Polygon", "FeatureCollection"):
            value.update(rng.choice(more))
    return tree


def add_lines(tree: Node, rng: random.Random) -> Node:
    """Add features without an area."""
    features = tree if isinstance(tree, list) else tree.get("features")
    geometries = (
        {"type": "Point", "coordinates": [5, 5]},
        {"type": "LineString", "coordinates": [[5, 5], [300, 200]]},
        {"type": "MultiPoint", "coordinates": [[5, 5]]},
        {"type": "Polygon", "coordinates": []},
        None,
    )
    if isinstance(features, list):
        one = {"type": "Feature", "geometry": rng.choice(geometries), "properties": rng.choice(({}, None))}
        features.insert(rng.randrange(len(features) + 1), one)
    return tree


def repeat_feature(tree: Node, rng: random.Random) -> Node:
    """Write a feature twice, or often."""
    features = tree if isinstance(tree, list) else tree.get("features")
    if isinstance(features, list) and features:
        features += [rng.choice(features)] * rng.choice((1, 2, 100))
    return tree


def classify_otherwise(tree: Node, rng: random.Random) -> Node:
    """Write the classes as other versions and programs do."""
    for one in _features(tree):
        properties = one.get("properties")
        if not isinstance(properties, dict):
            continue
        found = properties.get("classification")
        if isinstance(found, dict) and isinstance(found.get("name"), str):
            name = rng.choice((str.lower, str.upper, " {} ".format, str))(found["name"])
            forms = ({"names": [name]}, {"name": name}, name, json.dumps({"name": name, "color": [1, 2, 3]}))
            properties["classification"] = rng.choice(forms)
    return tree


def wrap(tree: Node, rng: random.Random) -> Node:
    """Put everything into another list or collection."""
    if rng.random() < 0.5:
        return [tree]
    return {"type": "FeatureCollection", "features": tree if isinstance(tree, list) else [tree]}


KEEPING: tuple[Mutation, ...] = (
    shuffle_keys, turn_rings, turn_rings, add_points, add_heights, add_members, add_lines, repeat_feature,
    classify_otherwise, classify_otherwise, wrap,
)  # fmt: skip

# Mutations that need not.


def _bad_value(rng: random.Random) -> Node:
    way = rng.randrange(4)
    if way == 0:
        return bad_text(rng)
    if way == 1:
        numbers = (0, -1, 1e9, 1e18, 1e300, math.inf, -math.inf, math.nan, 10**400, -0.0, 2**63, 1e-320)
        return rng.choice(numbers)
    if way == 2:
        return rng.choice(
            (None, True, False, [], {}, [[]], [[[]]], {"type": "Polygon"}, {"type": []}, "\ud800")
        )
    return DEEP


def replace_value(tree: Node, rng: random.Random) -> Node:
    """Put something else in the place of a value."""
    root = [tree]
    holder, place, _ = rng.choice(list(_nodes(root)))
    holder[place] = _bad_value(rng)
    return root[0]


def remove_value(tree: Node, rng: random.Random) -> Node:
    """Remove a value."""
    if found := list(_nodes(tree)):
        holder, place, _ = rng.choice(found)
        del holder[place]
    return tree


def move_value(tree: Node, rng: random.Random) -> Node:
    """Put a value where another is."""
    if found := list(_nodes(tree)):
        holder, place, _ = rng.choice(found)
        holder[place] = json.loads(json.dumps(rng.choice(found)[2]))
    return tree


def change_point(tree: Node, rng: random.Random) -> Node:
    """Move a point, far or a little, or make it none."""
    if rings := [ring for ring in _rings(tree) if ring]:
        ring = rng.choice(rings)
        x, y = (rng.choice((0, -5.5, 200, 1e5, 1e9, -1e12, 1e300, math.nan, math.inf)) for _ in "xy")
        ring[rng.randrange(len(ring))] = rng.choice(
            ([x, y], [x], [], {"x": x, "y": y}, [str(x), y], [[x, y]])
        )
    return tree


def draw_finely(tree: Node, rng: random.Random) -> Node:
    """Draw an outline of very many points: a circle, or a zigzag over the whole slide."""
    if rings := _rings(tree):
        if rng.random() < 0.7:
            count = rng.choice((*[1000] * 6, 20_000, 100_000))
            turns = [2 * math.pi * i / count for i in range(count)]
            points = [[200 + 100 * math.cos(t), 150 + 100 * math.sin(t)] for t in turns]
        else:
            count = rng.choice((100, 2000))
            points = [[400 * i / count, 300.0 * (i % 2)] for i in range(count)]
        rng.choice(rings)[:] = points
    return tree


CHANGING: tuple[Mutation, ...] = (
    replace_value, replace_value, replace_value, remove_value, move_value, change_point, change_point,
    draw_finely,
)  # fmt: skip
