"""Metadata of an OME-Zarr image (https://ngff.openmicroscopy.org, versions 0.4 and 0.5)."""

from __future__ import annotations

import math
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from wsi_embed.errors import SlideError
from wsi_embed.slide.resolution.lengths import micrometers

CONVERT = "convert it to DICOM or a pyramidal TIFF"
AGAIN = "write it again as OME-Zarr 0.4 or 0.5"
# Units of the specification that a pixel may have; others (`pixel`) give no resolution.
UNITS = {
    "angstrom": "\u00c5", "picometer": "pm", "nanometer": "nm", "micrometer": "um", "millimeter": "mm",
    "centimeter": "cm", "decimeter": "dm", "meter": "m", "inch": "in",
}  # fmt: skip
RGB_COLOURS = ["FF0000", "00FF00", "0000FF"]
# Sides of a pixel that differ by less are equal.
SQUARE = 0.02


@dataclass(frozen=True)
class Dataset:
    """Array of one level.

    Attributes:
        path: Path relative to the image.
        scale: Size of a pixel, (x, y), in the unit of the axes.
        offset: Position of the centre of its first pixel, (x, y), in the unit of the axes.
    """

    path: str
    scale: tuple[float, float]
    offset: tuple[float, float]


@dataclass(frozen=True)
class Multiscale:
    """Image with its levels.

    Attributes:
        axes: Names of the axes of its arrays, in lower case: `x`, `y` and others.
        datasets: Its levels, in the order of the file.
        mpp: Micrometres per pixel of the first level, (x, y); None if the axes have no unit of length.
        more: Number of further multiscales of the same image.
        name: Name of the image; empty without one.
    """

    axes: tuple[str, ...]
    datasets: tuple[Dataset, ...]
    mpp: tuple[float, float] | None
    more: int
    name: str


def parse_multiscale(attributes: dict[str, Any]) -> Multiscale:
    """Parse the attributes of an image; the first of several multiscales counts, as in other software.

    Raises:
        SlideError: If they are invalid, or the image is not RGB with square pixels.
    """
    found = attributes.get("multiscales")
    if not isinstance(found, list) or not found or not isinstance(found[0], dict):
        raise SlideError("its `multiscales`, which name its levels, are missing or empty", remedy=AGAIN)
    first = found[0]
    axes = _axes(first, attributes)
    listed = first.get("datasets")
    if not isinstance(listed, list) or not listed:
        raise SlideError("its `multiscales` list no `datasets`", remedy=AGAIN)
    whole = _transforms(first.get("coordinateTransformations"), axes, needed=False)
    datasets = tuple(_dataset(each, axes, whole) for each in listed)
    _check_colours(attributes.get("omero"))
    _check_square(datasets[0].scale)
    return Multiscale(
        axes,
        datasets,
        _mpp(first["axes"], axes, datasets[0].scale),
        len(found) - 1,
        first["name"] if isinstance(first.get("name"), str) else "",
    )


def _axes(multiscale: dict[str, Any], attributes: dict[str, Any]) -> tuple[str, ...]:
    listed = multiscale.get("axes")
    named = isinstance(listed, list) and all(
        isinstance(axis, dict) and isinstance(axis.get("name"), str) for axis in listed
    )
    if not listed or not named:
        version = multiscale.get("version") or attributes.get("version") or "unknown"
        raise SlideError(f"its axes are not described (version {str(version)[:20]})", remedy=AGAIN)
    axes = tuple(axis["name"].lower() for axis in listed)
    if len(set(axes)) < len(axes) or not {"x", "y"} <= set(axes):
        raise SlideError(f"its axes are {', '.join(axes)[:80]}, without one x and one y", remedy=AGAIN)
    return axes


def _dataset(
    described: Any, axes: Sequence[str], whole: tuple[tuple[float, float], tuple[float, float]]
) -> Dataset:
    if not isinstance(described, dict) or not isinstance(described.get("path"), str):
        raise SlideError("one of its `datasets` has no path", remedy=AGAIN)
    path = posixpath.normpath(described["path"].strip("/"))
    if ".." in path.split("/"):
        raise SlideError("one of its `datasets` is outside of it", remedy=AGAIN)
    (x, y), (left, top) = _transforms(described.get("coordinateTransformations"), axes, needed=True)
    (across, down), (right, below) = whole
    return Dataset(path, (x * across, y * down), (left * across + right, top * down + below))


def _transforms(
    found: Any, axes: Sequence[str], *, needed: bool
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return scale and translation, (x, y), of a list of coordinate transformations.

    Transformations between named coordinate systems (`output`), as SpatialData adds them, do not concern the
    size of a pixel.
    """
    scale, offset = (1.0, 1.0), (0.0, 0.0)
    listed = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    own = [each for each in listed if "output" not in each]
    if needed and not any(each.get("type") == "scale" for each in own):
        raise SlideError("the `coordinateTransformations` of its levels have no scale", remedy=AGAIN)
    for each in own:
        kind = each.get("type")
        if kind == "scale":
            x, y = _pair(each.get("scale"), axes, kind)
            if min(x, y) <= 0:
                raise SlideError(f"its scale is {x:g} x {y:g}", remedy=AGAIN)
            scale = scale[0] * x, scale[1] * y
            offset = offset[0] * x, offset[1] * y
        elif kind == "translation":
            x, y = _pair(each.get("translation"), axes, kind)
            offset = offset[0] + x, offset[1] + y
        elif kind != "identity":
            raise SlideError(f"its coordinate transformation {str(kind)[:20]!r} is not read", remedy=AGAIN)
    return scale, offset


def _pair(values: Any, axes: Sequence[str], kind: str) -> tuple[float, float]:
    """Return the values of x and y."""
    numbers = isinstance(values, list) and all(
        isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values
    )
    if not numbers or len(values) != len(axes):
        raise SlideError(f"its {kind} is not a list of {len(axes)} numbers", remedy=AGAIN)
    return float(values[axes.index("x")]), float(values[axes.index("y")])


def _check_square(scale: tuple[float, float]) -> None:
    x, y = scale
    if abs(x - y) > SQUARE * (x + y) / 2:
        raise SlideError(
            f"its pixels are not square: the scale of level 0 is {x:g} along x and {y:g} along y",
            remedy="resample it, or correct the scale in its metadata",
        )


def _check_colours(omero: Any) -> None:
    """Check that three channels are not named as the stains of fluorescence."""
    channels = omero.get("channels") if isinstance(omero, dict) else None
    if not isinstance(channels, list) or len(channels) != len(RGB_COLOURS):
        return
    colours = [str(each.get("color", "")).strip("#").upper() for each in channels if isinstance(each, dict)]
    if all(colours) and colours != RGB_COLOURS:
        raise SlideError(
            f"its channels have the colours {', '.join(colour[:8] for colour in colours)}, as in "
            "fluorescence, and are not red, green and blue",
            remedy="if they are, correct `omero` in its metadata",
        )


def _mpp(listed: Any, axes: Sequence[str], scale: tuple[float, float]) -> tuple[float, float] | None:
    sides = []
    for name, side in zip("xy", scale, strict=True):
        unit = listed[axes.index(name)].get("unit")
        if not isinstance(unit, str):
            return None
        sides.append(micrometers(repr(side), UNITS.get(unit.strip().lower(), unit)))
    x, y = sides
    return None if x is None or y is None else (x, y)
