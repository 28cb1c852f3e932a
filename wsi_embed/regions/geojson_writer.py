"""Writing of GeoJSON in QuPath's dialect; see `geojson` for its properties."""

from __future__ import annotations

import functools
import hashlib
import itertools
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_embed.errors import WsiEmbedError
from wsi_embed.regions.polygons import Colour, Polygon, Ring
from wsi_embed.util.atomic_files import replacing
from wsi_embed.util.json_text import json_text

# QuPath's grey for a class without a colour.
GREY = (128, 128, 128)
FEATURE = '{"type":"Feature","id":"%s","geometry":{"type":"Polygon","coordinates":%s},"properties":%s}'
SQUARE = "[[[%s,%s],[%s,%s],[%s,%s],[%s,%s],[%s,%s]]]"
# JSON for a number that is not finite.
NO_NUMBER = "null"
# Corners of a unit square, closed, (x, y).
UNIT = np.array([(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)])


def area_features(polygons: Sequence[Polygon], keys: Sequence[str], *, locked: bool = False) -> Iterator[str]:
    """Yield areas as QuPath annotations, each the JSON text of a feature.

    Args:
        polygons: Outlines, classes and colours.
        keys: Unique key of each object; the same key gives the same id.
        locked: Whether QuPath protects them from being moved by accident.
    """
    rings = iter(_ring_texts([ring for polygon in polygons for ring in polygon.rings]))
    for polygon, key in zip(polygons, keys, strict=True):
        own = ",".join(itertools.islice(rings, len(polygon.rings)))
        yield FEATURE % (_id(key), f"[{own}]", _area_properties(polygon.label, polygon.colour, locked))


def tile_features(
    corners: npt.NDArray[np.float64],
    extent: float,
    keys: Sequence[str],
    classes: Sequence[tuple[str, Colour] | None],
    measurements: Mapping[str, npt.NDArray[np.float64]],
) -> Iterator[str]:
    """Yield tiles as QuPath objects, each the JSON text of a feature.

    Args:
        corners: Top-left corners of the tiles, float64 [N, 2].
        extent: Side of a tile.
        keys: Unique key of each object; the same key gives the same id.
        classes: Name and colour of the class of each tile; None without one.
        measurements: Numbers of the tiles that QuPath can use for colouring, float64 [N] each. A tile lacks
            those that are NaN.
    """
    rings = _rounded(corners[:, None] + UNIT * extent).reshape(-1, UNIT.size).tolist()
    numbers = zip(*(_texts(values) for values in measurements.values()), strict=True)
    for ring, key, named, row in zip(rings, keys, classes, numbers, strict=True):
        names = tuple(measurements)
        if NO_NUMBER in row:
            names = tuple(name for name, text in zip(names, row, strict=True) if text != NO_NUMBER)
            row = tuple(text for text in row if text != NO_NUMBER)
        yield FEATURE % (_id(key), SQUARE % tuple(ring), _tile_properties(named, names) % row)


def write_geojson(path: Path, features: Iterable[str]) -> int:
    """Write a feature collection atomically, one feature per line.

    Args:
        path: File to write.
        features: JSON texts of the features.

    Returns:
        Number of features.

    Raises:
        WsiEmbedError: If the file cannot be written.
    """
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as lines:
            lines.write('{"type":"FeatureCollection","features":[')
            for item in features:
                lines.write(f",\n{item}" if count else f"\n{item}")
                count += 1
            lines.write("\n]}\n")
    except OSError as error:
        raise WsiEmbedError(f"cannot be written ({error.strerror})", where=path.name) from error
    return count


def _properties(
    kind: str, label: str | None, colour: Colour | None, *, locked: bool = False
) -> dict[str, Any]:
    properties: dict[str, Any] = {"objectType": kind}
    if label is not None:
        properties["classification"] = {"name": label, "color": colour or GREY}
    if locked:
        properties["isLocked"] = True
    return properties


# `json.dumps` of a dict for each object takes four times as long
@functools.lru_cache(maxsize=4096)
def _area_properties(label: str | None, colour: Colour | None, locked: bool) -> str:
    """Return the properties of an annotation as JSON."""
    return _compact(_properties("annotation", label, colour, locked=locked))


@functools.lru_cache(maxsize=4096)
def _tile_properties(named: tuple[str, Colour] | None, measurements: tuple[str, ...]) -> str:
    """Return the properties of a tile as JSON with `%s` in place of each measurement."""
    properties = _template(_properties("tile", *(named or (None, None))))
    measured = ",".join(f"{_template(name)}:%s" for name in measurements)
    return f'{properties[:-1]},"measurements":{{{measured}}}}}'


def _id(key: str) -> str:
    """Return the text of `uuid.uuid5(NAMESPACE_OID, "wsi-embed/" + key)`, in half of its time."""
    digest = hashlib.sha1(uuid.NAMESPACE_OID.bytes + f"wsi-embed/{key}".encode(), usedforsecurity=False)
    value = bytearray(digest.digest()[:16])
    value[6], value[8] = value[6] & 0x0F | 0x50, value[8] & 0x3F | 0x80
    text = value.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _compact(value: Any) -> str:
    return json_text(value, separators=(",", ":"))


def _template(value: Any) -> str:
    """Return a value as JSON for the `%` operator."""
    return _compact(value).replace("%", "%%")


def _texts(values: npt.NDArray[np.float64]) -> list[str]:
    """Return numbers as JSON texts."""
    return _compact(values.tolist())[1:-1].split(",") if len(values) else []


def _rounded(points: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    """Return points rounded to 1/100 pixel, as in QuPath; as integers if all are."""
    values = points.round(2)
    whole = values.astype(np.int64)
    return whole if (whole == values).all() else values


def _ring_texts(rings: Sequence[Ring]) -> Iterator[str]:
    """Yield closed rings as JSON texts, rounded as by `_rounded`."""
    if not rings:
        return
    points = _rounded(np.concatenate(rings))  # many small rings take as long as one
    start = 0
    for ring in rings:
        own = points[start : start + len(ring)] if points.dtype == np.int64 else _rounded(ring)
        start += len(ring)
        corners = own.tolist()
        yield str(corners if corners[0] == corners[-1] else [*corners, corners[0]]).replace(" ", "")
