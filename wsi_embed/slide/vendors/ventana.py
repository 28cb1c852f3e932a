"""Check of the areas of a Ventana BIF, whose positions OpenSlide trusts without checking the TIFF."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from xml.etree import ElementTree

from wsi_embed.errors import SlideError
from wsi_embed.slide.compressed_level import Layout
from wsi_embed.slide.tiff import tags as tiff
from wsi_embed.slide.tiff.directory import Directory

XMP = 700
MOST_XML = 1 << 26
MOST_TEXT = 4096
FARTHEST = 2**53
SIZES = (tiff.IMAGE_WIDTH, tiff.IMAGE_LENGTH, tiff.TILE_WIDTH, tiff.TILE_LENGTH)


def ventana_fault(directories: Sequence[Directory]) -> SlideError | None:
    """Check whether all tiles of the scanned areas are in the file: OpenSlide aborts on others.

    Args:
        directories: All main directories of the file.

    Returns:
        The error, without the name of the file; None if there is none.

    Raises:
        TiffError: If a tag is invalid.
        OSError: If the file cannot be read.
    """
    levels = list(_levels(directories))
    if not levels:
        return None
    first, magnification = levels[0]
    areas = list(_areas(first, Layout(*map(first.number, SIZES))))
    for number, (directory, power) in enumerate(levels):
        layout = Layout(*map(directory.number, SIZES))
        across, down = layout.across * magnification, layout.down * magnification
        for left, top, right, bottom in areas:
            inside = right * power <= across and bottom * power <= down
            if min(left, top) < 0 or not inside:
                return SlideError(
                    f"its metadata (AoiOrigin) place a scanned area outside of the picture, at tiles {left}, "
                    f"{top} to {right}, {bottom}, but its level {number} has {layout.across} x {layout.down}",
                    remedy="export it again, or convert it to a pyramidal TIFF",
                )
    return None


def _levels(directories: Sequence[Directory]) -> Iterator[tuple[Directory, float]]:
    """Yield the levels that OpenSlide finds by their descriptions, each with its magnification."""
    for directory in directories:
        text = (
            directory.text(tiff.IMAGE_DESCRIPTION, MOST_TEXT)
            if tiff.IMAGE_DESCRIPTION in directory.tags
            else ""
        )
        fields = dict(part.split("=", 1) for part in text.split(" ") if "=" in part)
        try:
            power = float(fields["mag"]) if "level" in fields else 0.0
        except (KeyError, ValueError):
            continue  # OpenSlide refuses it
        if 0 < power < math.inf and directory.tiled:
            yield directory, power


def _areas(level0: Directory, layout: Layout) -> Iterator[tuple[int, int, int, int]]:
    """Yield the first column and row of tiles of each scanned area, and those after its last."""
    try:
        root = ElementTree.fromstring(level0.bytes(XMP, MOST_XML).rstrip(b"\0"))
        infos, origins = root.findall("SlideStitchInfo/ImageInfo"), root.findall("AoiOrigin/*")
        for info, origin in zip(infos, origins, strict=False):
            if int(info.get("AOIScanned", "0")):
                left = _number(origin, "OriginX") // layout.tile_width
                top = _number(origin, "OriginY") // layout.tile_height
                yield left, top, left + _number(info, "NumCols"), top + _number(info, "NumRows")
    except (ElementTree.ParseError, ValueError):
        return  # OpenSlide refuses it


def _number(element: ElementTree.Element, name: str) -> int:
    """Return the number in an attribute, limited to those that a float holds exactly; 0 without it."""
    return max(-FARTHEST, min(int(element.get(name, "0")), FARTHEST))
