"""Regions of interest: polygons in level-0 pixels that limit which tiles are taken."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from wsi_embed.errors import SlideError

Ring = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Regions:
    """Polygons of one slide.

    Attributes:
        polygons: Each an outer ring and its holes, float [P, 2] of (x, y), level-0 pixels.
        digest: Of the file, for the settings fingerprint.
    """

    polygons: list[list[Ring]]
    digest: str

    def mask(self, shape: tuple[int, int], scale: tuple[float, float]) -> npt.NDArray[np.bool_]:
        """Rasterise: True inside a polygon, bool [h, w].

        Args:
            shape: (h, w) of the mask.
            scale: Level-0 pixels per mask pixel, (x, y).
        """
        total = np.zeros(shape, np.uint8)
        for rings in self.polygons:
            one = np.zeros(shape, np.uint8)
            # fillPoly's coordinates are pixel centres; even-odd filling leaves holes open
            points = [np.rint(ring / scale - 0.5).clip(-(10**6), 10**6).astype(np.int32) for ring in rings]
            cv2.fillPoly(one, points, 1)
            total |= one
        return total.astype(np.bool_)


def read_regions(path: Path) -> Regions:
    """Read the polygons of a GeoJSON file, as QuPath writes it.

    Args:
        path: A geometry, a feature, a feature collection or a list of features.

    Raises:
        SlideError: The file is missing, is not GeoJSON, or holds no polygon.
    """
    try:
        content = path.read_bytes()
        polygons = list(_polygons(json.loads(content)))
    except OSError as error:
        raise SlideError(f"{path}: the ROI file cannot be read ({error.strerror})") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SlideError(f"{path}: not GeoJSON polygons ({error}); export them from QuPath again") from error
    if not polygons:
        raise SlideError(f"{path}: holds no polygon, so there is nothing to take; check the ROI file")
    return Regions(polygons, hashlib.sha256(content).hexdigest()[:16])


def _polygons(node: Any) -> Iterator[list[Ring]]:
    if isinstance(node, list):
        for item in node:
            yield from _polygons(item)
        return
    if node is None:  # a feature without geometry
        return
    kind = node["type"]
    if kind == "FeatureCollection":
        yield from _polygons(node["features"])
    elif kind == "Feature":
        yield from _polygons(node["geometry"])
    elif kind == "GeometryCollection":
        yield from _polygons(node["geometries"])
    elif kind == "Polygon" and node["coordinates"]:
        yield [_ring(ring) for ring in node["coordinates"]]
    elif kind == "MultiPolygon":
        for rings in node["coordinates"]:
            yield [_ring(ring) for ring in rings]


def _ring(points: Any) -> Ring:
    ring = np.asarray(points, np.float64)
    if ring.ndim != 2 or ring.shape[0] < 3 or ring.shape[1] < 2 or not np.isfinite(ring).all():
        raise ValueError("a ring needs at least three points (x, y)")
    return ring[:, :2]
