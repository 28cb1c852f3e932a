"""What an OME-TIFF's description says and its TIFF tags may not (OME model 2016-06, element Pixels)."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from xml.etree import ElementTree

from wsi_embed.slide.lengths import micrometers

MOST_XML = 1 << 26  # bytes; a plate of 100,000 planes takes some


@dataclass(frozen=True)
class OmePixels:
    """The first image of an OME-TIFF.

    Attributes:
        size: (width, height) as it says, pixels; None where it does not.
        mpp: Micrometres per pixel, (x, y); None where it does not say, or in no unit of length.
        samples: Samples that a pixel has in all channels together (SizeC).
        focal_planes: Number of focal planes (SizeZ).
        times: Number of times (SizeT).
    """

    size: tuple[int, int] | None
    mpp: tuple[float, float] | None
    samples: int
    focal_planes: int
    times: int


@functools.lru_cache(maxsize=4)  # a slide is asked more than once while it is opened
def ome_pixels(description: str | None) -> OmePixels | None:
    """Read the description of a TIFF; None if it is not OME-XML."""
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
    """Find the image whose planes begin with the first directory of the file; else the first image."""
    found = root.findall("{*}Image/{*}Pixels")
    begins = (p for p in found if any(d.get("IFD") == "0" for d in p.findall("{*}TiffData")))
    return next(begins, found[0] if found else None)


def _count(element: ElementTree.Element, name: str) -> int:
    """Return an attribute that counts something; 1 without it, or where it is no number."""
    text = element.get(name, "")
    return max(1, int(text)) if text.isdecimal() else 1


def physical_size(pixels: ElementTree.Element) -> tuple[float, float] | None:
    """Return the micrometres per pixel, (x, y), that an element Pixels states; None if it states none."""
    x, y = (_micrometers(pixels, f"PhysicalSize{axis}") for axis in "XY")
    return (x, y) if x is not None and y is not None else None


def _micrometers(pixels: ElementTree.Element, name: str) -> float | None:
    return micrometers(pixels.get(name, ""), pixels.get(f"{name}Unit", "µm"))
