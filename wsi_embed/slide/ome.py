"""Description of an OME-TIFF, which may state more than its TIFF tags (OME model 2016-06, element Pixels)."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from xml.etree import ElementTree

from wsi_embed.slide.lengths import micrometers

MOST_XML = 1 << 26  # bytes; enough for a plate of 100,000 planes


@dataclass(frozen=True)
class OmePixels:
    """First image of an OME-TIFF.

    Attributes:
        size: (width, height), pixels; None if missing.
        mpp: Micrometres per pixel, (x, y); None if missing or not in a unit of length.
        samples: Number of samples per pixel in all channels together (SizeC).
        focal_planes: Number of focal planes (SizeZ).
        times: Number of time points (SizeT).
    """

    size: tuple[int, int] | None
    mpp: tuple[float, float] | None
    samples: int
    focal_planes: int
    times: int


@functools.lru_cache(maxsize=4)  # used several times while a slide is opened
def ome_pixels(description: str | None) -> OmePixels | None:
    """Parse the description of a TIFF; None if it is not OME-XML."""
    if description is None or "<OME" not in description[:4096]:
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
    return OmePixels(size, mpp, max(1, samples), focal_planes, times)


def _first_pixels(root: ElementTree.Element) -> ElementTree.Element | None:
    """Return the image whose planes start at the first directory of the file; else the first image."""
    found = root.findall("{*}Image/{*}Pixels")
    begins = (p for p in found if any(d.get("IFD") == "0" for d in p.findall("{*}TiffData")))
    return next(begins, found[0] if found else None)


def _count(element: ElementTree.Element, name: str) -> int:
    """Return a count attribute; 1 if it is missing or invalid."""
    text = element.get(name, "")
    return max(1, int(text)) if text.isdecimal() else 1


def physical_size(pixels: ElementTree.Element) -> tuple[float, float] | None:
    """Return the micrometres per pixel, (x, y), of an element Pixels, or None."""
    x, y = (_micrometers(pixels, f"PhysicalSize{axis}") for axis in "XY")
    return (x, y) if x is not None and y is not None else None


def _micrometers(pixels: ElementTree.Element, name: str) -> float | None:
    return micrometers(pixels.get(name, ""), pixels.get(f"{name}Unit", "µm"))
