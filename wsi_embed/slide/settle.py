"""Selection of the OpenSlide levels that belong to a slide, and their position on level 0."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wsi_embed.slide.base import LevelsState
from wsi_embed.slide.dicom_images import dicom_levels, further_scans, spacing_warnings
from wsi_embed.slide.levels import Level, LevelImage, choose_levels
from wsi_embed.slide.places import Picture, UInt8Array, places_of
from wsi_embed.slide.same_picture import compare
from wsi_embed.slide.tiff_images import TiffImage, check_first, further_images, level_images

# For these, OpenSlide takes every tiled directory, or every one marked as reduced, for a level. For others it
# knows the levels from the vendor's metadata.
TIFF_VENDORS = ("aperio", "generic-tiff", "huron")
# (level of OpenSlide, x, y, width, height), pixels of that level
ReadLevel = Callable[[int, int, int, int, int], UInt8Array]


@dataclass
class Settled:
    """Levels of a slide.

    Attributes:
        numbers: OpenSlide's number of each level.
        sizes: (width, height) of each level without padding, pixels.
        scales: Level-0 pixels per pixel of each level, (x, y).
        left_out: Images in the file that are not levels, each with the reason.
        warnings: Warnings for the user.
        state: State of the levels; see `Slide.levels_state`.
    """

    numbers: list[int] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    scales: list[tuple[float, float]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    state: LevelsState = "alike"


def settle_levels(
    path: Path,
    vendor: str,
    sizes: Sequence[tuple[int, int]],
    downsamples: Sequence[float],
    images: Sequence[TiffImage],
    read: ReadLevel,
) -> Settled:
    """Determine which of OpenSlide's levels belong to a slide.

    Args:
        path: Slide file.
        vendor: OpenSlide's name of the format.
        sizes: (width, height) of OpenSlide's levels, pixels.
        downsamples: OpenSlide's downsamples.
        images: Images of the file, if it is a TIFF.
        read: Function that reads a region of an OpenSlide level.

    Raises:
        SlideError: If it is unclear which image is level 0.
        OSError: If the file cannot be read.
    """
    settled = Settled()
    if vendor in TIFF_VENDORS:
        known = _tiff_levels(path, vendor, sizes, images, settled)
    elif vendor == "dicom":
        known = dicom_levels(path, sizes)
    else:
        settled.numbers, settled.sizes = list(range(len(sizes))), list(sizes)
        settled.scales = [
            _scale(sizes[0], size, factor) for size, factor in zip(sizes, downsamples, strict=True)
        ]
        settled.state = "alike" if len(sizes) == 1 else "picture"
        return settled
    believed = believed_levels(known, read)
    believed.left_out = settled.left_out + believed.left_out
    believed.warnings = settled.warnings
    if vendor == "dicom" and (scans := further_scans(known, believed.numbers)):
        believed.warnings.append(_further(path, scans))
    if vendor == "dicom":
        believed.warnings += spacing_warnings(path, known, believed.numbers, believed.scales)
    return believed


def believed_levels(images: Sequence[LevelImage], read: ReadLevel) -> Settled:
    """Choose the levels among images; doubtful ones are compared with level 0 at a few places.

    Args:
        images: Level 0 and the images that may be further levels, by decreasing width.
        read: Function that reads a region of an image, by its number.
    """
    settled, pictures, sizes = Settled(), list[Picture](), list[tuple[int, int]]()
    choice = choose_levels(images)
    settled.left_out = choice.left_out
    for ways in choice.levels:
        image, level = images[ways[0].image], None
        reason = "another image of this size is a level"
        if image.size not in sizes:
            level = _believed(ways, pictures, read)
            reason = f"{ways[0].doubt}, and it does not show what level 0 shows"
        if level is None:
            settled.left_out.append(f"{image.name} ({image.size[0]} x {image.size[1]}): {reason}")
            continue
        sizes.append(image.size)
        pictures.append(_picture(level, read))
        settled.numbers.append(level.image)
        settled.sizes.append(level.size)
        settled.scales.append(level.scale)
    settled.state = "shifts" if len(settled.sizes) > 1 else "alike"
    return settled


def _scale(whole: tuple[int, int], size: tuple[int, int], downsample: float) -> tuple[float, float]:
    """Return level-0 pixels per pixel of a level, (x, y).

    OpenSlide uses the mean of both axes, unless the format itself states the number.
    """
    if min(size) < 1:
        return downsample, downsample
    across, down = whole[0] / size[0], whole[1] / size[1]
    if abs((across + down) / 2 - downsample) < 1e-6 * downsample:
        return across, down
    return downsample, downsample


def _tiff_levels(
    path: Path,
    vendor: str,
    sizes: Sequence[tuple[int, int]],
    images: Sequence[TiffImage],
    settled: Settled,
) -> list[LevelImage]:
    """Describe OpenSlide's levels of a TIFF by its directories."""
    check_first(path, images, sizes[0])
    known = level_images(images, vendor)
    levels = [_tiff_level(number, size, known) for number, size in enumerate(sizes)]
    left_out, scans = further_images(images, [image.directory for image in known])
    settled.left_out += left_out
    if scans:
        settled.warnings.append(_further(path, scans))
    return levels


def _further(path: Path, scans: Sequence[str]) -> str:
    return (
        f"{path.name}: holds further pictures that are not read ({', '.join(scans)}); save each scan as a "
        "file of its own"
    )


def _tiff_level(number: int, size: tuple[int, int], images: Sequence[TiffImage]) -> LevelImage:
    """Return the directory of one of OpenSlide's levels, found by its size."""
    found = [image.facts for image in images if image.facts.size == size]
    return found[0] if len(found) == 1 else LevelImage(f"level {number}", size)


def _believed(ways: Sequence[Level], finer: Sequence[Picture], read: ReadLevel) -> Level | None:
    """Choose the scale at which an image is a level; None if it is not a level."""
    for way in ways:
        if way.doubt is None:
            return way
        picture = _picture(way, read)
        if compare(finer[-1], picture, places_of(picture), shifts=True) == "same":
            return way
    return None


def _picture(level: Level, read: ReadLevel) -> Picture:
    def read_level(x: int, y: int, w: int, h: int) -> UInt8Array:
        return read(level.image, x, y, w, h)

    return Picture(level.size, level.scale, read_level)
