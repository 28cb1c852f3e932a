"""Image size stated in an Aperio description, which programs that resize a slide may copy unchanged."""

from __future__ import annotations

import re

from wsi_embed.slide.levels.choice import Size, factor_range
from wsi_embed.slide.resolution.stated import alike

# 46920x33014 [0,100 46000x32914] (256x256) -> 11500x8228 JPEG/RGB Q=30|AppMag = 20|...
_SIZE = r"(\d{1,9})\s*x\s*(\d{1,9})"
_SCANNED = re.compile(rf"^\s*{_SIZE}(?:\s*\[[-\d.]+\s*,\s*[-\d.]+[,\s]\s*{_SIZE}\s*\])?", re.M)
_ORIGINAL = re.compile(r"\|\s*Original(?:width|height)\s*=\s*(\d{1,9})", re.I)


def described_size(description: str, size: Size) -> Size | None:
    """Return the image size in a description, if level 0 is that image resized.

    Args:
        description: ImageDescription of level 0.
        size: (width, height) of level 0, pixels.

    Returns:
        (width, height), pixels; None if level 0 has that size or is a crop of it, or no size is stated.
    """
    latest = re.split(r"[|;]", description, maxsplit=1)[0]  # descriptions of earlier steps follow
    scanned = _SCANNED.search(latest)
    numbers = scanned.groups() if scanned else tuple(_ORIGINAL.findall(description)[:2])
    sides = [int(number) for number in numbers if number]
    sizes = list(zip(sides[::2], sides[1::2], strict=False))  # of the scan, and of its cropped part
    if not sizes or size in sizes or not min(sides) or not resized(sizes[-1], size):
        return None
    return sizes[-1]


def resized(whole: Size, size: Size) -> bool:
    """Return whether one size is the other at another scale, and not a crop."""
    if alike(whole[0], size[0]):
        return False
    large, small = (whole, size) if whole[0] > size[0] else (size, whole)
    low, high = factor_range(large, small)
    return low <= high
