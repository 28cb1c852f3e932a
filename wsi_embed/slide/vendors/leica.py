"""Checks of a Leica SCN's XML, which OpenSlide trusts without checking the TIFF."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from wsi_embed.errors import SlideError
from wsi_embed.slide.levels.choice import Size
from wsi_embed.slide.remedies import ONE_PLANE
from wsi_embed.slide.resolution.stated import Stated
from wsi_embed.slide.tiff import tags as tiff
from wsi_embed.slide.tiff.directory import Directory

ADVICE = "export it again, or convert it to a pyramidal TIFF"
NANOMETERS = 1000  # of a micrometre


def leica_fault(description: str, directories: Sequence[Directory]) -> SlideError | None:
    """Check whether OpenSlide would take other pixels for a level than the XML means.

    Args:
        description: ImageDescription of the first directory.
        directories: All main directories of the file.

    Returns:
        The error, without the name of the file; None if there is none.

    Raises:
        TiffError: If a size is invalid.
        OSError: If the file cannot be read.
    """
    macros, scans = _images(description)
    of_macro = {dimension.get("ifd") for image in macros for dimension in _dimensions(image)}
    for dimension in (found for image in scans for found in _dimensions(image)):
        for name, what in (("z", "focal planes"), ("c", "channels")):
            if dimension.get(name, "0") != "0":
                return SlideError(f"it has several {what}, of which one has to be chosen", remedy=ONE_PLANE)
        number = dimension.get("ifd", "")
        if number in of_macro:
            return SlideError(f"its XML calls image {number} a level and the macro image", remedy=ADVICE)
        said = _pair(dimension, "size")
        if said is None or not number.isdecimal() or int(number) >= len(directories):
            return SlideError("its XML has a level without an image in the file", remedy=ADVICE)
        held = tuple(directories[int(number)].number(code) for code in (tiff.IMAGE_WIDTH, tiff.IMAGE_LENGTH))
        if said != held:
            return SlideError(
                f"its XML says {said[0]} x {said[1]} pixels of image {number}, which has {held[0]} x "
                f"{held[1]}, so it is not certain where its levels lie",
                remedy=ADVICE,
            )
    return None


def leica_resolutions(description: str) -> Iterator[Stated]:
    """Yield the resolution of each scan from the XML: its size on the glass divided by its pixels."""
    for image in _images(description)[1]:
        view, pixels = image.find("{*}view"), image.find("{*}pixels")
        area = None if view is None else _pair(view, "size")
        sizes = [size for dimension in _dimensions(image) if (size := _pair(dimension, "size"))]
        if area and pixels is not None and sizes and min(map(min, sizes)) > 0:
            width, height = max(sizes)
            yield Stated((area[0] / NANOMETERS / width, area[1] / NANOMETERS / height), "SCN view")


def _images(description: str) -> tuple[list[Element], list[Element]]:
    """Return the macro images, which show the whole glass, and the scans."""
    try:
        root = ElementTree.fromstring(description)
    except (ElementTree.ParseError, ValueError):
        return [], []
    macros, scans = list[Element](), list[Element]()
    for collection in root.iterfind("{*}collection"):
        glass = _pair(collection, "size")
        for image in collection.iterfind("{*}image"):
            view = image.find("{*}view")
            whole = view is not None and _pair(view, "size") == glass and _pair(view, "offset") == (0, 0)
            (macros if whole else scans).append(image)
    return macros, scans


def _dimensions(image: Element) -> list[Element]:
    return image.findall("{*}pixels/{*}dimension")


def _pair(element: Element, name: str) -> Size | None:
    values = [element.get(f"{name}{axis}", "") for axis in "XY"]
    return (int(values[0]), int(values[1])) if all(map(str.isdecimal, values)) else None
