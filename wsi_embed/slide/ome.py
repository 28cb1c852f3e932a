"""What an OME-TIFF's description says and its TIFF tags may not (OME model 2016-06, element Pixels)."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree

from wsi_embed.slide.lengths import micrometers


@dataclass(frozen=True)
class OmePixels:
    """The first image of an OME-TIFF.

    Attributes:
        size: (width, height) as it says, pixels; None where it does not.
        mpp: Micrometres per pixel, (x, y); None where it does not say, or in no unit of length.
        planes: How many planes hold its channels; 1 where each pixel holds all of them.
    """

    size: tuple[int, int] | None
    mpp: tuple[float, float] | None
    planes: int


def ome_pixels(description: str | None) -> OmePixels | None:
    """Read the description of a TIFF; None if it is not OME-XML."""
    if description is None or "<OME" not in description[:4096]:
        return None
    try:
        pixels = ElementTree.fromstring(description).find("{*}Image/{*}Pixels")
    except ElementTree.ParseError:
        return None
    if pixels is None:
        return None
    x, y = (_micrometers(pixels, f"PhysicalSize{axis}") for axis in "XY")
    mpp = (x, y) if x is not None and y is not None else None
    sides = [pixels.get(f"Size{axis}", "") for axis in "XY"]
    size = (int(sides[0]), int(sides[1])) if all(map(str.isdecimal, sides)) else None
    return OmePixels(size, mpp, max(1, len(pixels.findall("{*}Channel"))))


def _micrometers(pixels: ElementTree.Element, name: str) -> float | None:
    return micrometers(pixels.get(name, ""), pixels.get(f"{name}Unit", "µm"))
