"""Choice of the image of an OME-Zarr that is the slide."""

from __future__ import annotations

from dataclasses import dataclass

from wsi_embed.errors import SlideError
from wsi_embed.slide.ome_zarr.files import ZarrFiles
from wsi_embed.slide.ome_zarr.metadata import CONVERT

LAYOUT = "bioformats2raw.layout"
# Group with the names of the images that bioformats2raw wrote.
NAMES = "OME"
MOST_SERIES = 256


@dataclass(frozen=True)
class Series:
    """Images of an OME-Zarr.

    Attributes:
        first: Path of the image that is the slide, relative to the root; empty for the root itself.
        others: Paths of further images.
    """

    first: str
    others: tuple[str, ...] = ()


def find_series(files: ZarrFiles) -> Series:
    """Find the image that is the slide: the root, or the first image that bioformats2raw wrote.

    Raises:
        SlideError: If there is none, or it is a plate.
        OSError: If a file cannot be read.
    """
    root = files.attributes("")
    if "plate" in root or "well" in root:
        raise SlideError(
            "is a plate with images of wells, not a slide", remedy="name one image in it, such as A/1/0"
        )
    if "multiscales" in root:
        return Series("")
    if LAYOUT in root:
        return _converted(files)
    if not root:
        raise SlideError(
            "has no metadata of OME-Zarr in zarr.json or .zattrs", remedy="is it complete? copy it again"
        )
    raise SlideError("has no `multiscales`, which name its levels", remedy=CONVERT)


def _converted(files: ZarrFiles) -> Series:
    """Return the images in the order of bioformats2raw: listed in the group `OME`, else 0, 1, 2, ..."""
    listed = files.attributes(NAMES).get("series")
    names = [str(name).strip("/") for name in listed] if isinstance(listed, list) else []
    if not names:
        number = 0
        while number < MOST_SERIES and "multiscales" in files.attributes(str(number)):
            names.append(str(number))
            number += 1
    if not names or ".." in names[0].split("/"):
        raise SlideError("holds no image", remedy="is it complete? copy it again")
    return Series(names[0], tuple(names[1:MOST_SERIES]))
