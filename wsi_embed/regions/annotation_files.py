"""Annotation files: assignment to slides, and their content."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from wsi_embed.errors import SlideError, UsageError
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.regions.asap import OtherProgramError, read_asap
from wsi_embed.regions.geojson import read_geojson
from wsi_embed.regions.polygons import OTHER_UNITS, Areas, Origin, Polygon
from wsi_embed.util.text import argument

# In order of preference, if a slide has several.
ANNOTATION_SUFFIXES = (".geojson", ".json", ".xml")


@dataclass(frozen=True)
class Annotations:
    """Content of an annotation file.

    Attributes:
        name: Name of the file.
        polygons: All areas.
        origin: Origin of their coordinates.
        digest: SHA-256 of the file, hexadecimal.
        left_out: Descriptions of parts of the file that were left out, without its name.
    """

    name: str
    polygons: list[Polygon]
    origin: Origin
    digest: str
    left_out: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about parts of the file that were left out."""
        return tuple(f"{self.name}: {text}" for text in self.left_out)


def read_annotations(path: Path) -> Annotations:
    """Read the polygons of an annotation file, GeoJSON or ASAP XML according to its content.

    Raises:
        SlideError: If the file cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SlideError(f"the ROI file cannot be read ({error.strerror})", where=path.name) from error
    digest = hashlib.sha256(content).hexdigest()
    if is_xml(path, content):
        try:
            return _annotations(path, read_asap(content), "level0", digest)
        except OtherProgramError as error:
            raise SlideError(error, where=path.name) from error
        except ValueError as error:
            raise SlideError(
                f"not ASAP annotations ({error})", where=path.name, remedy="save them in ASAP again"
            ) from error
    try:
        return _annotations(path, read_geojson(content), "bounds", digest)
    except ValueError as error:
        raise SlideError(
            f"not GeoJSON polygons ({error})", where=path.name, remedy="export them from QuPath again"
        ) from error


def _annotations(path: Path, areas: Areas, origin: Origin, digest: str) -> Annotations:
    counts = ", ".join(f"{count} {what}" for what, count in sorted(areas.left_out.items()))
    left_out = tuple(areas.warnings)
    if counts:
        left_out = (f"left out, because they are no areas: {counts}", *left_out)
    return Annotations(path.name, areas.polygons, origin, digest, left_out)


def slide_annotations(path: Path, size: Sequence[int], bounds: Sequence[int]) -> Annotations:
    """Read the annotations of a slide in its level-0 pixels.

    Args:
        path: Annotation file.
        size: (width, height) of level 0.
        bounds: (x, y, width, height) of the scanned area, level-0 pixels.

    Raises:
        SlideError: If the file cannot be read, or none of its areas is on the slide.
    """
    annotations = read_annotations(path)
    x, y = bounds[:2] if annotations.origin == "bounds" else (0, 0)
    polygons = [polygon.moved(x, y) for polygon in annotations.polygons]
    outer = [polygon.rings[0] for polygon in polygons]
    if outer and not any((ring.max(0) > 0).all() and (ring.min(0) < size).all() for ring in outer):
        raise SlideError(
            f"all its annotations lie outside the slide ({size[0]} x {size[1]} pixels)",
            where=path.name,
            remedy=f"are they of another slide? {OTHER_UNITS}",
        )
    return replace(annotations, polygons=polygons, origin="level0")


def is_xml(path: Path, content: bytes) -> bool:
    """Return whether a file looks like XML, by its first character or else its suffix."""
    first = content[:512].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")[:1]
    return first == b"<" or (first not in (b"{", b"[") and path.suffix.lower() == ".xml")


def annotation_names(slide_id: str, slide_name: str) -> list[str]:
    """Return the possible names of a slide's annotation file, without suffix, in order of preference.

    These are the slide id; the path relative to the input folder, without and with its suffix; and the file
    name, without and with its suffix.
    """
    name = PurePosixPath(slide_name)
    names = [slide_id, name.with_suffix("").as_posix(), name.as_posix(), name.stem, name.name]
    return list(dict.fromkeys(names))


def annotation_file(folder: Path, slide_id: str, slide_name: str) -> Path | None:
    """Return the annotation file of a slide in a folder, or None."""
    return _choose(_listing(folder), annotation_names(slide_id, slide_name))


def with_annotations(
    items: Sequence[SlideInput], source: Path | None, option: str = "roi"
) -> list[SlideInput]:
    """Assign annotation files to slides; those from a manifest are kept.

    In a folder, a name that matches two slides (`s1.xml` for `a/s1.svs` and `b/s1.svs`) is used for neither,
    unless it is a slide's id.

    Args:
        items: All slides of the job, before sharding.
        source: Value of the option: a file for a single slide, or a folder.
        option: Name of the option, for messages.

    Raises:
        UsageError: If there is no such file or folder, or one file is given for, or matches, several slides.
    """
    open_items = [item for item in items if item.roi is None]
    if source is None or not open_items:
        return list(items)
    if source.is_file():
        if len(open_items) > 1:
            raise UsageError(
                f"is one file, but there are {len(open_items)} slides",
                where=argument(option, source),
                remedy=f"give a folder with one file per slide ({open_items[0].slide_id}.geojson, ...)",
            )
        return [item if item.roi is not None else replace(item, roi=source) for item in items]
    if not source.is_dir():
        raise UsageError("no such file or folder", where=argument(option, source), remedy="check the path")
    listing = _listing(source)
    if not listing:
        raise UsageError(
            f"holds no {', '.join(ANNOTATION_SUFFIXES)} file",
            where=argument(option, source),
            remedy="check the path",
        )
    fits = Counter(name for item in items for name in annotation_names(item.slide_id, item.name))
    found = []
    for item in items:
        names = annotation_names(item.slide_id, item.name)
        path = _choose(listing, [name for name in names if fits[name] == 1 or name == item.slide_id])
        if item.roi is None and path is None and (unclear := _choose(listing, names)):
            raise UsageError(
                f"{unclear.name} fits {item.name} and another slide",
                where=argument(option, source),
                remedy=f"call it {item.slide_id}{unclear.suffix} if it is of the first",
            )
        found.append(item if item.roi is not None else replace(item, roi=path))
    return found


def _choose(listing: dict[tuple[str, str], Path], names: Sequence[str]) -> Path | None:
    keys = ((name, suffix) for name in names for suffix in ANNOTATION_SUFFIXES)
    return next((listing[key] for key in keys if key in listing), None)


def _listing(folder: Path) -> dict[tuple[str, str], Path]:
    """Return all annotation files at any depth, by relative path without suffix, and suffix."""
    found = {}
    for root, folders, files in os.walk(folder):
        folders.sort()
        for file in sorted(files):
            path = Path(root) / file
            if path.suffix.lower() in ANNOTATION_SUFFIXES:
                relative = path.relative_to(folder).with_suffix("").as_posix()
                found[relative, path.suffix.lower()] = path
    return found
