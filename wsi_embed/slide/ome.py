"""Description of an OME-TIFF, which may state more than its TIFF tags (OME model 2016-06, element Pixels)."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

from wsi_embed.slide.resolution.lengths import micrometers

MOST_XML = 1 << 26  # bytes; enough for a plate of 100,000 planes
# The root, with or without a namespace prefix; a comment of any length may precede it.
ROOT = re.compile(r"<(?:[\w.-]+:)?OME[\s/>]")
PIXELS_IN_OTHER_FILES = re.compile(r"<(?:[\w.-]+:)?BinaryOnly[\s/>]")


@dataclass(frozen=True)
class OmePixels:
    """First image of an OME-TIFF.

    Attributes:
        size: (width, height), pixels; None if missing.
        mpp: Micrometres per pixel, (x, y); None if missing or not in a unit of length.
        only_size: Micrometres per pixel of one axis, if the other is not stated; else None.
        samples: Number of samples per pixel in all channels together (SizeC).
        focal_planes: Number of focal planes (SizeZ).
        times: Number of time points (SizeT).
    """

    size: tuple[int, int] | None
    mpp: tuple[float, float] | None
    only_size: float | None
    samples: int
    focal_planes: int
    times: int


@functools.lru_cache(maxsize=4)  # used several times while a slide is opened
def ome_pixels(description: str | None) -> OmePixels | None:
    """Parse the description of a TIFF; None if it is not OME-XML."""
    if description is None or not ROOT.search(description):
        return None
    try:
        pixels = _first_pixels(ElementTree.fromstring(description))
    except (ElementTree.ParseError, ValueError):
        return None
    if pixels is None:
        return None
    mpp = physical_size(pixels)
    sides = [pixels.get(f"Size{axis}", "") for axis in "XY"]
    size = (int(sides[0]), int(sides[1])) if all(map(str.isdecimal, sides)) else None
    channels = (_count(channel, "SamplesPerPixel") for channel in pixels.findall("{*}Channel"))
    samples = _count(pixels, "SizeC") if "SizeC" in pixels.attrib else sum(channels)
    focal_planes, times = _count(pixels, "SizeZ"), _count(pixels, "SizeT")
    return OmePixels(size, mpp, _only_size(pixels), max(1, samples), focal_planes, times)


def _first_pixels(root: ElementTree.Element) -> ElementTree.Element | None:
    """Return the image whose planes come first in this file; else the first image."""
    if root.tag.rpartition("}")[2] != "OME":
        return None
    found = root.findall("{*}Image/{*}Pixels")
    file = _uuid(root.get("UUID"))
    starts = ((min(_directories(pixels, file), default=None), pixels) for pixels in found)
    here = [(start, pixels) for start, pixels in starts if start is not None]
    return min(here, key=lambda each: each[0])[1] if here else (found[0] if found else None)


def _directories(pixels: ElementTree.Element, file: str) -> Iterator[int]:
    """Yield the numbers of the directories that hold planes of an image, of those in this file.

    Args:
        pixels: Element Pixels.
        file: UUID of this file; empty if unknown.
    """
    for data in pixels.iterfind("{*}TiffData"):
        other = _uuid(data.findtext("{*}UUID"))
        number = data.get("IFD", "0")
        if number.isdecimal() and (not file or other in ("", file)):
            yield int(number)


def _uuid(text: str | None) -> str:
    return (text or "").strip().casefold().removeprefix("urn:uuid:")


def _count(element: ElementTree.Element, name: str) -> int:
    """Return a count attribute; 1 if it is missing or invalid."""
    text = element.get(name, "")
    return max(1, int(text)) if text.isdecimal() else 1


def physical_size(pixels: ElementTree.Element) -> tuple[float, float] | None:
    """Return the micrometres per pixel, (x, y), of an element Pixels, or None."""
    x, y = (_micrometers(pixels, axis) for axis in "XY")
    return (x, y) if x is not None and y is not None else None


def _only_size(pixels: ElementTree.Element) -> float | None:
    """Return the micrometres per pixel of an element Pixels that states them for one axis, or None."""
    stated = [axis for axis in "XY" if f"PhysicalSize{axis}" in pixels.attrib]
    return _micrometers(pixels, stated[0]) if len(stated) == 1 else None


def _micrometers(pixels: ElementTree.Element, axis: str) -> float | None:
    name = f"PhysicalSize{axis}"
    return micrometers(pixels.get(name, ""), pixels.get(f"{name}Unit", "µm"))
