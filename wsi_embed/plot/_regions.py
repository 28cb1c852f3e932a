"""Where annotation files are found and read: the one place that knows their formats."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from wsi_embed.errors import SlideError, UsageError
from wsi_embed.inputs import SlideInput
from wsi_embed.roi import read_regions

SUFFIXES = (".geojson", ".json", ".xml")


@dataclass(frozen=True)
class Polygon:
    """An annotated region: outer ring first, then holes, float64 [P, 2] of level-0 (x, y)."""

    rings: list[npt.NDArray[np.float64]]
    label: str | None = None


def annotation_files(items: Sequence[SlideInput], source: Path) -> dict[str, Path | None]:
    """The annotation file of each slide by id, or None: `source` itself, or in that folder.

    Raises:
        UsageError: There is no such file or folder, or it is one file for several slides.
    """
    if not source.exists():
        raise UsageError(f"--annotations {source}: no such file or folder; check the path")
    if source.is_file() and len(items) > 1:
        raise UsageError(
            f"--annotations {source}: one file, but {len(items)} slides; "
            "give a folder of files named like the slides, or --slides with that slide alone"
        )
    return {item.slide_id: source if source.is_file() else _named_like(item, source) for item in items}


def _named_like(item: SlideInput, folder: Path) -> Path | None:
    stems = (item.slide_id, Path(item.name).stem)
    places = (folder / f"{stem}{suffix}" for stem in stems for suffix in SUFFIXES)
    return next((place for place in places if place.is_file()), None)


def read_annotations(path: Path) -> list[Polygon]:
    """Polygons of an ASAP XML or QuPath GeoJSON file.

    Raises:
        SlideError: The file cannot be read.
    """
    if path.suffix.lower() == ".xml":
        return list(_asap(path))
    regions = read_regions(path)
    labels = list(_labels(json.loads(path.read_bytes())))
    if len(labels) != len(regions.polygons):
        labels = [None] * len(regions.polygons)
    return [Polygon(rings, label) for rings, label in zip(regions.polygons, labels, strict=True)]


def _asap(path: Path) -> Iterator[Polygon]:
    try:
        for annotation in ElementTree.parse(path).iterfind("./Annotations/Annotation"):
            points = sorted(annotation.iterfind(".//Coordinate"), key=lambda p: float(p.attrib["Order"]))
            ring = np.array([(float(p.attrib["X"]), float(p.attrib["Y"])) for p in points])
            if len(ring) >= 3:
                yield Polygon([ring], annotation.get("PartOfGroup"))
    except (OSError, ElementTree.ParseError, KeyError, ValueError) as error:
        raise SlideError(f"{path}: not ASAP annotations ({error}); export them again") from error


def _labels(node: Any, label: str | None = None) -> Iterator[str | None]:
    if isinstance(node, list):
        for item in node:
            yield from _labels(item)
    elif isinstance(node, dict):
        if node.get("type") == "FeatureCollection":
            yield from _labels(node["features"])
        elif node.get("type") == "Feature" and node.get("geometry"):
            classification = (node.get("properties") or {}).get("classification") or {}
            several = node["geometry"]["type"] == "MultiPolygon"
            count = len(node["geometry"]["coordinates"]) if several else 1
            yield from [classification.get("name")] * count
        elif "coordinates" in node:
            yield None
