"""Rules for annotated regions: classes to include and to exclude."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from wsi_embed.errors import NoRegionsError, SlideError, UsageError, printable
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.regions.annotation_files import ANNOTATION_SUFFIXES, annotation_names, read_annotations
from wsi_embed.regions.misplaced import check_class_names
from wsi_embed.regions.polygons import Polygon, Regions, class_key
from wsi_embed.util.text import argument

Missing = Literal["fail", "skip", "whole"]


@dataclass(frozen=True)
class RegionRules:
    """User's settings for annotated regions.

    Class names match without regard to case. A polygon belongs to its class and to those that contain it; if
    several of them are named, the nearest decides.

    Attributes:
        source: Annotation file, or folder of them; a manifest's column `roi` takes precedence.
        include: Classes to take; if empty, every polygon that is not excluded.
        exclude: Classes to leave out.
        missing: Handling of a slide without annotation file: `fail`, `skip` (leave it out) or `whole`. `skip`
            also leaves out slides whose file has nothing to take.
    """

    source: Path | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    missing: Missing = "fail"

    def __post_init__(self) -> None:
        if self.missing not in ("fail", "skip", "whole"):
            raise UsageError("choose fail, skip or whole", where=argument("roi_missing", self.missing))
        if not all(map(class_key, (*self.include, *self.exclude))):
            raise UsageError("`roi_include=` and `roi_exclude=` need the name of a class")
        _check_apart(_keys(self.include), _keys(self.exclude))

    def classes(self) -> dict[str, list[str]]:
        """Return the chosen classes in a canonical form: sorted, without regard to case."""
        return {"include": sorted(_keys(self.include)), "exclude": sorted(_keys(self.exclude))}

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values for the report."""
        source = self.source.name if self.source else None
        return {"source": source, **self.classes(), "missing": self.missing}


def check_rules(rules: RegionRules, items: list[SlideInput]) -> None:
    """Check that classes are named only if there are annotations, and only those that a file has.

    Raises:
        UsageError: If classes are named, but neither `--roi` nor a manifest names a file, or no file has a
            region of a class to include.
    """
    if (rules.include or rules.exclude) and rules.source is None and all(item.roi is None for item in items):
        raise UsageError(
            "`roi_include=` and `roi_exclude=` need `roi=FILE|DIR`, or a manifest with a column roi"
        )
    if rules.include and not any(item.remote is not None and item.remote.roi is not None for item in items):
        _check_known(rules.include, [item.roi for item in items if item.roi is not None])


def _check_known(include: Sequence[str], files: Sequence[Path]) -> None:
    """Check that every class is in a file; files are read until it is, and may be damaged.

    Raises:
        UsageError: If a class is in none of the files.
    """
    polygons, absent = list[Polygon](), list[str]()
    for file in files:
        with contextlib.suppress(SlideError):
            found = {p.classes: p for p in (*polygons, *read_annotations(file).polygons)}
            polygons = list(found.values())
        there = {class_key(name) for p in polygons for name in p.classes}
        absent = [name for name in _names(include, there) if class_key(name) not in there]
        if not absent:
            return
    if polygons:
        known = _classes(polygons, "they have")
        raise UsageError(
            f"no annotation file has a region of class {', '.join(absent)}; {known}",
            remedy="name one of those with `roi_include=`",
        )


def slide_regions(item: SlideInput, rules: RegionRules) -> Regions | None:
    """Return the regions of a slide; None for the whole slide.

    Raises:
        NoRegionsError: If the slide has no annotation file, or the file has nothing to take.
        SlideError: If the file cannot be read.
    """
    if item.roi is not None:
        return read_regions(item.roi, rules)
    if rules.source is None and not rules.include:
        return None
    names = annotation_names(item.slide_id, item.name)
    where = f"no annotation file in {rules.source.name}" if rules.source else "no roi in the manifest"
    if rules.missing == "whole":
        return Regions(None, [], None, warnings=(f"{item.name}: {where}, taken whole",))
    named = f" (named {', '.join(names)} with {', '.join(ANNOTATION_SUFFIXES)})" if rules.source else ""
    raise NoRegionsError(
        where,
        where=item.name,
        remedy=f"add it{named}, "
        "or set `roi_missing='skip'` (leave out such slides) or whole (take them whole)",
    )


def read_regions(path: Path, rules: RegionRules | None = None) -> Regions:
    """Read an annotation file and select its polygons.

    Raises:
        NoRegionsError: If the file has no polygon to take.
        SlideError: If the file cannot be read.
    """
    rules, file = rules or RegionRules(), read_annotations(path)
    polygons = file.polygons
    if not polygons and not rules.exclude:
        lost = file.left_out[0] if file.left_out else "check the ROI file"
        raise NoRegionsError("holds no polygon, so there is nothing to take", where=path.name, remedy=lost)
    there = {class_key(name) for p in polygons for name in p.classes}
    names = _names(rules.include, there), _names(rules.exclude, there)
    include, exclude = map(_keys, names)
    _check_apart(include, exclude)
    check_class_names(path.name, polygons, include | exclude)
    sorted_out = [(p, p.nearest(include | exclude)) for p in polygons]
    taken = [p for p, key in sorted_out if (key in include if include else key is None)]
    left_out = [p for p, key in sorted_out if key in exclude]
    if include and not taken:
        raise NoRegionsError(
            f"no region of class {' or '.join(names[0])}; {_classes(polygons)}",
            where=path.name,
            remedy="name one of those, or set `roi_missing='skip'` to leave out such slides",
        )
    warnings = file.warnings
    if absent := [name for name in (*names[0], *names[1]) if class_key(name) not in there]:
        warnings += (f"{path.name}: no region of class {', '.join(absent)}; {_classes(polygons)}",)
    digest = file.digest
    if rules.include or rules.exclude:
        chosen = {"include": sorted(include), "exclude": sorted(exclude)}
        digest = hashlib.sha256((digest + json.dumps(chosen)).encode()).hexdigest()
    return Regions(
        taken or None, left_out, digest[:16], file.name, file.origin, tuple(map(printable, warnings))
    )


def _keys(labels: Iterable[str]) -> set[str]:
    return {class_key(label) for label in labels}


def _names(given: Sequence[str], there: Collection[str]) -> list[str]:
    """Return class names; a name with commas that is not a class of the file is split."""
    listed = ([name] if class_key(name) in there else name.split(",") for name in given)
    return [name for parts in listed for part in parts if (name := part.strip())]


def _check_apart(include: set[str], exclude: set[str]) -> None:
    if both := include & exclude:
        raise UsageError(f"class {', '.join(sorted(both))} is both in `roi_include=` and `roi_exclude=`")


def _classes(polygons: list[Polygon], subject: str = "it has") -> str:
    """Describe the classes of one file or several, for messages."""
    names = sorted({name.strip() for p in polygons for name in p.classes})
    if not names:
        return f"{subject} {'only polygons without a class' if polygons else 'no polygon'}"
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    without = sum(not p.classes for p in polygons)
    return f"{subject} {', '.join(names[:10])}{more}" + (
        f", and {without} without a class" if without else ""
    )
