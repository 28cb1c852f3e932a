"""Selection of the OpenSlide levels that belong to a slide, and their position on level 0."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wsi_embed.slide.dicom.images import dicom_levels, dicom_tiles, further_scans, ignored_images
from wsi_embed.slide.levels.choice import Level, LevelImage, Size, choose_levels
from wsi_embed.slide.levels.missing_tiles import leave_out_lacking, tiles_by_size
from wsi_embed.slide.levels.places import Picture, UInt8Array, places_of
from wsi_embed.slide.levels.same_picture import compare
from wsi_embed.slide.levels.settled import ReadLevel, Settled
from wsi_embed.slide.resolution.spacing import spacing_warnings, with_own_sizes
from wsi_embed.slide.tiff.images import MOST_TEXT, TiffImage, check_first, further_images, level_images
from wsi_embed.slide.tiff.tags import IMAGE_DESCRIPTION

# For these, OpenSlide takes every tiled directory, or every one marked as reduced, for a level. For others it
# knows the levels from the vendor's metadata.
TIFF_VENDORS = ("aperio", "generic-tiff", "huron")
# Sides of levels differ from those of level 0 by rounding: in pixels, and as a share (Leica states the number
# of pixels of a coarse level, and OpenSlide computes the size of the slide from it).
MOST_ROUNDED, SAME_SIDES = 2.0, 0.01


def settle_levels(
    path: Path,
    vendor: str,
    sizes: Sequence[Size],
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
        settled.left_out = ignored_images(path)
    else:
        stored = _stored_sizes(vendor, images) or sizes
        settled = _openslide_levels(sizes, downsamples, stored)
        if settled.state == "picture" and _is_fixed(vendor, sizes[0], images):
            settled.state = "large shifts"
        if stored[0] == sizes[0] or vendor == "philips":  # else tiles do not lie where the TIFF has them
            leave_out_lacking(settled, tiles_by_size(images, stored), read, path)
        return settled
    believed = believed_levels(known, read)
    believed.left_out = settled.left_out + believed.left_out
    believed.warnings = settled.warnings
    if vendor != "aperio":  # its missing tiles are rendered from finer levels
        tiles_of = dicom_tiles(path, sizes) if vendor == "dicom" else tiles_by_size(images, sizes)
        leave_out_lacking(believed, tiles_of, read, path)
    if vendor in TIFF_VENDORS and (scans := settled.scans + _as_large(known, believed.numbers)):
        believed.warnings.append(_further(path, scans))
    if vendor == "dicom" and (scans := further_scans(known, believed.numbers)):
        believed.warnings.append(_further(path, scans))
    source, sized = (
        ("PixelSpacing says", known) if vendor == "dicom" else ("its tags say", with_own_sizes(known))
    )
    believed.warnings += spacing_warnings(path, source, sized, believed.numbers, believed.scales)
    return believed


def believed_levels(images: Sequence[LevelImage], read: ReadLevel) -> Settled:
    """Choose the levels among images; doubtful ones are compared with level 0 at a few places.

    Args:
        images: Level 0 and the images that may be further levels, by decreasing width.
        read: Function that reads a region of an image, by its number.
    """
    settled, pictures, sizes = Settled(), list[Picture](), list[Size]()
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


def _stored_sizes(vendor: str, images: Sequence[TiffImage]) -> list[Size]:
    """Return the sizes of levels in the file where OpenSlide computes them from level 0's; else nothing."""
    tiled = [image for image in images if image.tiled]
    if vendor == "ventana":
        tiled = [
            image
            for image in tiled
            if image.directory.text(IMAGE_DESCRIPTION, MOST_TEXT).startswith("level=")
        ]
    return [image.facts.size for image in tiled] if vendor in ("philips", "ventana") else []


def _is_fixed(vendor: str, level0: Size, images: Sequence[TiffImage]) -> bool:
    """Return whether the tiles of a slide lie on a grid, so that stitching cannot displace its levels."""
    if vendor in ("trestle", "ventana"):  # OpenSlide subtracts the overlap of tiles
        return any(image.tiled and image.facts.size == level0 for image in images)
    return vendor in ("argos", "leica", "philips")


def _openslide_levels(sizes: Sequence[Size], downsamples: Sequence[float], stored: Sequence[Size]) -> Settled:
    """Return the levels of a format whose levels OpenSlide knows, without those that were cropped."""
    settled = Settled()
    stored = stored if len(stored) == len(sizes) else sizes
    for number, (size, downsample) in enumerate(zip(sizes, downsamples, strict=True)):
        scale = _scale(sizes[0], size, downsample)
        if number and (reason := _cropped(sizes[0], size, stored[number], scale)):
            settled.left_out.append(f"level {number} ({size[0]} x {size[1]}): {reason}")
            continue
        settled.numbers.append(number)
        settled.sizes.append(size)
        settled.scales.append(scale)
    settled.state = "alike" if len(settled.sizes) == 1 else "picture"
    return settled


def _cropped(whole: Size, size: Size, stored: Size, scale: tuple[float, float]) -> str | None:
    """Describe why a level does not show all of level 0, or return None.

    Args:
        whole: (width, height) of level 0, pixels.
        size: That of the level, by OpenSlide.
        stored: That of its image in the file, which may be padded.
        scale: Level-0 pixels per pixel, (x, y).
    """
    across, down = (side / max(1, part) for side, part in zip(whole, stored, strict=True))
    sides = f"its sides are 1/{across:.4g} and 1/{down:.4g} of level 0's"
    true = whole[0] / scale[0], whole[1] / scale[1]
    if any(_less(part, side) for part, side in zip(stored, true, strict=True)):
        return f"{sides}, but its scale is 1/{scale[0]:.4g}"
    if scale[0] == scale[1]:
        return None
    # by the other axis' scale
    other = whole[0] / scale[1], whole[1] / scale[0]
    return sides if all(_less(*sorted(pair)) for pair in zip(size, other, strict=True)) else None


def _less(part: float, side: float) -> bool:
    """Return whether a side is shorter than another by more than rounding."""
    return side - part > max(MOST_ROUNDED, SAME_SIDES * side)


def _scale(whole: Size, size: Size, downsample: float) -> tuple[float, float]:
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
    sizes: Sequence[Size],
    images: Sequence[TiffImage],
    settled: Settled,
) -> list[LevelImage]:
    """Describe OpenSlide's levels of a TIFF by its directories."""
    check_first(path, images, sizes[0])
    known = level_images(images, vendor)
    levels = [_tiff_level(number, size, known) for number, size in enumerate(sizes)]
    settled.left_out, settled.scans = further_images(images, [image.directory for image in known])
    return levels


def _as_large(images: Sequence[LevelImage], levels: Sequence[int]) -> list[str]:
    """Return the names of images that are marked as reduced, but are no levels and as large as level 0."""
    width, height = images[0].size
    return [
        f"{image.name} ({image.size[0]} x {image.size[1]})"
        for number, image in enumerate(images)
        if number not in levels and not image.role and image.size[0] * image.size[1] * 2 > width * height
    ]


def _further(path: Path, scans: Sequence[str]) -> str:
    return (
        f"{path.name}: holds further pictures that are not read ({', '.join(scans)}); save each scan as a "
        "file of its own"
    )


def _tiff_level(number: int, size: Size, images: Sequence[TiffImage]) -> LevelImage:
    """Return the directory of one of OpenSlide's levels, found by its size."""
    found = [image.facts for image in images if image.facts.size == size]
    return found[0] if len(found) == 1 else LevelImage(f"level {number}", size)


def _believed(ways: Sequence[Level], finer: Sequence[Picture], read: ReadLevel) -> Level | None:
    """Choose the scale at which an image is a level; None if it is not a level."""
    for way in ways:
        if way.doubt is None:
            return way
        picture = _picture(way, read)
        if compare(finer[-1], picture, places_of(picture), shifts=True).verdict == "same":
            return way
    return None


def _picture(level: Level, read: ReadLevel) -> Picture:
    def read_level(x: int, y: int, w: int, h: int) -> UInt8Array:
        return read(level.image, x, y, w, h)

    return Picture(level.size, level.scale, read_level)
