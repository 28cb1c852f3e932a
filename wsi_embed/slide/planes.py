"""Detection of pictures in several planes (channels, focal planes, times): OpenSlide reads only one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

from wsi_embed.errors import SlideError
from wsi_embed.slide.ome import MOST_XML, PIXELS_IN_OTHER_FILES, ome_pixels
from wsi_embed.slide.remedies import JOIN_PLANES, ONE_PLANE
from wsi_embed.slide.tiff import tags as tiff
from wsi_embed.slide.tiff.directory import Directory
from wsi_embed.slide.tiff.storage import BLACK_IS_ZERO, MASK, WHITE_IS_ZERO, Storage, tag_value
from wsi_embed.slide.tiff.tags import TiffError


def repeated_level(directories: Sequence[Directory]) -> SlideError | None:
    """Detect focal planes in an Aperio slide, which contains each level once per plane.

    Args:
        directories: The tiled directories, in file order.

    Returns:
        The error, without the name of the file; None if level 0 occurs once.
    """
    sizes = [_size(directory) for directory in directories]
    count = sizes.count(sizes[0]) if sizes else 0
    return _choose(f"{count} focal planes") if count > 1 else None


def plane_fault(directories: Sequence[Directory], first: Storage) -> SlideError | None:
    """Check whether the first image of a TIFF is one plane of several.

    Args:
        directories: All main directories of a TIFF without a vendor.
        first: Storage of the first image's pixels.

    Returns:
        The error, without the name of the file; None if the image is a complete picture.
    """
    return _ome_fault(directories[0], first.samples) or _page_fault(directories, first)


def is_mask(directory: Directory) -> bool:
    """Return whether an image marks valid pixels of another, as written by GDAL."""
    masking = tag_value(directory, tiff.NEW_SUBFILE_TYPE, 0) & tiff.MASK
    return bool(masking) or tag_value(directory, tiff.PHOTOMETRIC, -1) == MASK


def dicom_plane_fault(properties: Mapping[str, str]) -> SlideError | None:
    """Check OpenSlide's properties of a DICOM slide for several optical paths or focal planes.

    Returns:
        The error, without the name of the file; None if the slide has one of each.
    """

    def number(name: str, default: int) -> int:
        text = properties.get(f"dicom.{name}", "")
        return int(text) if text.isdecimal() else default

    paths = number("NumberOfOpticalPaths", 1)
    if paths > 1:
        return SlideError(
            f"it has {paths} optical paths (channels), of which OpenSlide reads one",
            remedy="export each by itself",
        )
    sides = (("TotalPixelMatrixColumns", "Columns"), ("TotalPixelMatrixRows", "Rows"))
    across, down = (ceil(number(whole, 1) / max(1, number(part, 1))) for whole, part in sides)
    frames = number("NumberOfFrames", 1)
    if frames > across * down:
        return SlideError(
            f"it has {frames} frames for {across * down} tiles (focal planes?), of which "
            "OpenSlide reads one each",
            remedy="export one focal plane",
        )
    return None


def _ome_fault(first: Directory, samples: int) -> SlideError | None:
    try:
        text = first.bytes(tiff.IMAGE_DESCRIPTION, MOST_XML).partition(b"\0")[0].decode("utf-8", "replace")
    except TiffError:
        return None
    if samples == 1 and PIXELS_IN_OTHER_FILES.search(text):
        return SlideError(
            "its planes are described in another file (OME BinaryOnly)",
            remedy="convert it to interleaved RGB",
        )
    ome = ome_pixels(text)
    if ome is None:
        return None
    for count, what in ((ome.focal_planes, "focal planes (SizeZ)"), (ome.times, "times (SizeT)")):
        if count > 1:
            return _choose(f"{count} {what}")
    channels = ceil(ome.samples / max(1, samples))
    return _channels(channels) if channels > 1 else None


def _page_fault(directories: Sequence[Directory], first: Storage) -> SlideError | None:
    """Detect grey images of equal size, which are the channels of one picture."""
    if first.samples > 1 or first.photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO):
        return None
    size = _size(directories[0])
    alike = [d for d in directories if _size(d) == size and not is_mask(d) and not _is_reduced(d)]
    return _channels(len(alike)) if len(alike) > 1 else None


def _channels(count: int) -> SlideError:
    remedy = "convert it to interleaved RGB"
    if count == 3:
        remedy += f", if they are red, green and blue with {JOIN_PLANES}"
    return SlideError(
        f"its {count} channels lie in separate planes, of which OpenSlide reads only the first, as grey",
        remedy=remedy,
    )


def _choose(planes: str) -> SlideError:
    return SlideError(f"it has {planes}, of which one has to be chosen", remedy=ONE_PLANE)


def _size(directory: Directory) -> tuple[int, int]:
    return tag_value(directory, tiff.IMAGE_WIDTH, 0), tag_value(directory, tiff.IMAGE_LENGTH, 0)


def _is_reduced(directory: Directory) -> bool:
    return bool(tag_value(directory, tiff.NEW_SUBFILE_TYPE, 0) & tiff.REDUCED)
