"""Images of a TIFF: their roles according to the file, and whether the first is level 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from wsi_embed.errors import SlideError
from wsi_embed.slide.levels.choice import SAME_MPP, LevelImage, factor_range
from wsi_embed.slide.ome import ROOT, physical_size
from wsi_embed.slide.resolution.stated import Stated
from wsi_embed.slide.roles import role_in
from wsi_embed.slide.tiff import tags as tiff
from wsi_embed.slide.tiff.directory import Directory
from wsi_embed.slide.tiff.storage import MASK

CENTIMETER, INCH = 3, 2
MICROMETERS = {CENTIMETER: 1e4, INCH: 25.4e3}
MOST_TEXT = 1 << 24
MOST_DESCRIBED = 4096
SMALLEST_STEP = 1.5  # levels are at least this many times smaller
MASKED = "a mask"


@dataclass(frozen=True)
class TiffImage:
    """Directory of a TIFF.

    Attributes:
        directory: The directory.
        facts: Facts that decide whether it is a level.
        reduced: Whether the file marks it as a reduced version of another.
        tiled: Whether it is stored in tiles.
    """

    directory: Directory
    facts: LevelImage
    reduced: bool
    tiled: bool


def tiff_images(directories: Sequence[Directory]) -> list[TiffImage]:
    """Describe the main directories of a TIFF, in file order.

    Raises:
        TiffError: If a tag is invalid.
        OSError: If the file cannot be read.
    """
    words = _ome_words(directories[0]) if len(directories) > 1 else {}
    return [_image(directory, n, *words.get(n, ("", None))) for n, directory in enumerate(directories)]


def level_images(images: Sequence[TiffImage], vendor: str) -> list[TiffImage]:
    """Return the images that OpenSlide takes for levels, in file order."""
    return [
        image
        for number, image in enumerate(images)
        if image.tiled and (vendor == "aperio" or number == 0 or image.reduced)
    ]


def _image(directory: Directory, number: int, name: str, mpp: tuple[float, float] | None) -> TiffImage:
    subfile = directory.number(tiff.NEW_SUBFILE_TYPE)
    tile = directory.number(tiff.TILE_WIDTH), directory.number(tiff.TILE_LENGTH)
    photometric = directory.number(tiff.PHOTOMETRIC)
    role = MASKED if subfile & tiff.MASK or photometric == MASK else _role(directory, name)
    kind = (
        directory.number(tiff.COMPRESSION),
        photometric,
        directory.number(tiff.SAMPLES_PER_PIXEL, 1),
        directory.number(tiff.PLANAR_CONFIGURATION, 1),
        *tile,
    )
    facts = LevelImage(
        name=f"image {number + 1} of the file",
        size=(directory.number(tiff.IMAGE_WIDTH), directory.number(tiff.IMAGE_LENGTH)),
        tile=tile if all(tile) else None,
        mpp=mpp or _mpp(directory),
        scan=mpp is not None,
        role=role,
        kind=kind,
    )
    return TiffImage(directory, facts, bool(subfile & tiff.REDUCED), directory.tiled)


def _role(directory: Directory, name: str) -> str | None:
    """Find what the page name, the OME name or the description calls an image that is no level."""
    description = directory.text(tiff.IMAGE_DESCRIPTION, MOST_TEXT)
    texts = (directory.text(tiff.PAGE_NAME, MOST_TEXT), name, description[:MOST_DESCRIBED])
    return next((role for text in texts if (role := role_in(text))), None)


def _mpp(directory: Directory) -> tuple[float, float] | None:
    unit = MICROMETERS.get(directory.number(tiff.RESOLUTION_UNIT, INCH))
    x, y = directory.fraction(tiff.X_RESOLUTION), directory.fraction(tiff.Y_RESOLUTION)
    return (unit / x, unit / y) if unit and x and y else None


def _ome_words(first: Directory) -> dict[int, tuple[str, tuple[float, float] | None]]:
    """Return the names and pixel sizes of images in OME-XML, by the number of their first directory."""
    text = first.bytes(tiff.IMAGE_DESCRIPTION, MOST_TEXT).partition(b"\0")[0]
    if not ROOT.search(text.decode("utf-8", "replace")):
        return {}
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, LookupError):
        return {}
    words: dict[int, tuple[str, tuple[float, float] | None]] = {}
    for image in root.iterfind("{*}Image"):
        pixels = image.find("{*}Pixels")
        for data in () if pixels is None else pixels.iterfind("{*}TiffData"):
            number = data.get("IFD", "0")
            if pixels is not None and number.isdecimal():
                words.setdefault(int(number), (image.get("Name") or "", physical_size(pixels)))
    return words


def check_first(path: Path, images: Sequence[TiffImage], level0: tuple[int, int]) -> None:
    """Check that level 0 of a TIFF is the first and largest of its pictures.

    A larger image with the same pixel size is a further scan if OME lists both as scans, or level 0 has a
    level of its own. Otherwise the first image may be a macro image with the resolution tags of the slide.

    Args:
        path: TIFF file.
        images: Images of the file.
        level0: (width, height) of the presumed level 0, pixels.

    Raises:
        SlideError: If the first image is something else according to the file, or another is larger.
    """
    first = images[0].facts
    remedy = "write it again with its full-resolution image first and the coarser levels marked as reduced"
    if first.role and first.role != MASKED:  # masks are rejected elsewhere, for their pixels
        raise SlideError(
            f"the first image is {first.role} by the file's own words", where=path, remedy=remedy
        )
    if first.size != level0:
        raise SlideError(
            f"the first image has {first.size[0]} x {first.size[1]} pixels, another {level0[0]} x "
            f"{level0[1]}, so it is not certain which is level 0",
            where=path,
            remedy=remedy,
        )
    has_levels = any(image.reduced and not image.facts.role and _shrunk(first, image) for image in images[1:])
    for image in images[1:]:
        (width, height), role = image.facts.size, image.facts.role
        scans = has_levels or (first.scan and image.facts.scan)
        if (
            width * height > level0[0] * level0[1]
            and not role
            and not (scans and _same_mpp(first, image.facts))
        ):
            raise SlideError(
                f"{image.facts.name} has {width} x {height} pixels, more than the first with "
                f"{level0[0]} x {level0[1]}, so it is not certain which is level 0",
                where=path,
                remedy=remedy,
            )


def _shrunk(first: LevelImage, image: TiffImage) -> bool:
    """Return whether an image has the shape of level 0 at a reduced size."""
    low, high = factor_range(first.size, image.facts.size)
    return low <= high and high > SMALLEST_STEP


def _states_mpp_of(first: LevelImage, image: LevelImage) -> bool:
    """Return whether OME lists an image with a level's shape as a scan of its own, with level 0's pixels."""
    return image.scan and None not in (first.mpp, image.mpp) and first.mpp == image.mpp


def _same_mpp(a: LevelImage, b: LevelImage) -> bool:
    """Return whether two images of different shapes have the same pixel size, like two scans of a slide."""
    low, high = factor_range(b.size, a.size)
    if low <= high or a.mpp is None or b.mpp is None:
        return False
    if not Stated(a.mpp, "tags").plausible:  # a default, such as 72 dpi
        return False
    return all(abs(x / y - 1) < SAME_MPP for x, y in zip(a.mpp, b.mpp, strict=True))


def further_images(images: Sequence[TiffImage], levels: Sequence[Directory]) -> tuple[list[str], list[str]]:
    """Describe the images of a TIFF that are not read.

    Args:
        images: All images.
        levels: Directories of the levels.

    Returns:
        Descriptions for `info`, and those images that may be further scans, for a warning.
    """
    left_out, scans = [], []
    first = images[0].facts
    for image in images:
        facts = image.facts
        large = facts.size[0] * facts.size[1] * 2 > first.size[0] * first.size[1]
        size = f"{facts.size[0]} x {facts.size[1]}"
        if image.reduced and not image.tiled and not facts.role and _shrunk(first, image):
            left_out.append(f"{facts.name} ({size}): stored in strips, so it is no level")
            continue
        if image.directory in levels or not (image.tiled or large):
            continue
        if facts.role:
            left_out.append(f"{facts.name} ({size}): the file calls it {facts.role}")
            continue
        low, high = factor_range(first.size, facts.size)
        if low <= high and high > SMALLEST_STEP and not _states_mpp_of(first, facts):
            left_out.append(f"{facts.name} ({size}): not marked as a reduced image, so it is no level")
        elif large or not image.reduced:
            left_out.append(f"{facts.name} ({size}): a further picture")
            scans.append(f"{facts.name} ({size})")
    return left_out, scans
