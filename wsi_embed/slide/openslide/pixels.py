"""Checks that OpenSlide returns the pixels of a slide as the file means them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from wsi_embed.slide.base import unreadable
from wsi_embed.slide.colour.transparency import transparency_fault
from wsi_embed.slide.openslide.slide import OpenSlideSlide
from wsi_embed.slide.planes import plane_fault, repeated_level
from wsi_embed.slide.remedies import vips
from wsi_embed.slide.tiff.directory import Directory
from wsi_embed.slide.tiff.images import MASKED
from wsi_embed.slide.tiff.pixels import pixel_fault
from wsi_embed.slide.tiff.storage import Storage, storage
from wsi_embed.slide.tiff.subsampling import subsampling_fault
from wsi_embed.slide.tiff.tags import TiffError
from wsi_embed.slide.vendors.czi import czi_fault
from wsi_embed.slide.vendors.leica import leica_fault

# Hamamatsu's NDPI is TIFF too, but OpenSlide reads only its JPEGs.
TIFF_VENDORS = ("aperio", "argos", "generic-tiff", "huron", "leica", "philips", "trestle", "ventana")


def check_pixels(slide: OpenSlideSlide) -> tuple[str, ...]:
    """Check that OpenSlide returns a slide's pixels unchanged.

    Args:
        slide: The slide as OpenSlide opened it.

    Returns:
        Warnings, each a sentence that names the file.

    Raises:
        SlideError: If OpenSlide would change the pixels, or read one plane of several; with a remedy.
    """
    path = slide.path
    try:
        if slide.vendor == "zeiss" and (fault := czi_fault(path)):
            raise fault.at(path)
        if slide.vendor in TIFF_VENDORS and slide.tiff is not None:
            return _check_tiff(slide, slide.tiff.directories())
    except (TiffError, OSError) as error:
        raise unreadable(path, error) from error
    return ()


def _check_tiff(slide: OpenSlideSlide, directories: Sequence[Directory]) -> tuple[str, ...]:
    path, vendor = slide.path, slide.vendor
    aperio, images = vendor == "aperio", slide.tiff_images
    masks = {n for n, image in enumerate(images) if image.facts.role == MASKED}
    marked = vendor in ("generic-tiff", "huron")  # their further levels are marked as reduced
    numbers = [
        n
        for n, image in enumerate(images)
        if image.tiled and (n == 0 or (not image.facts.role and (image.reduced or not marked)))
    ]
    levels = {number: storage(directories[number]) for number in numbers}
    for number, stored in levels.items():
        if fault := pixel_fault(stored, aperio=aperio) or subsampling_fault(directories[number], stored):
            raise (fault.at(f"image {number + 1} of the file") if number else fault).at(path)
    fault = None
    if aperio:
        fault = repeated_level([directories[number] for number in levels])
    elif vendor == "generic-tiff" and 0 in levels:
        fault = plane_fault(directories, levels[0])
    elif vendor == "leica":
        fault = leica_fault(slide.description(), directories)
    if fault or (0 in levels and (fault := transparency_fault(slide, levels[0]))):
        raise fault.at(path)
    return (*_turned(path, levels.values()), *_masked(path, masks))


def _turned(path: Path, levels: Iterable[Storage]) -> list[str]:
    """Return a warning about an orientation tag that is ignored, as in other tools for slides."""
    turned = next((stored.orientation for stored in levels if stored.orientation != 1), None)
    if turned is None:
        return []
    return [
        f"{path.name}: its orientation tag ({turned}) is ignored: pixels are read as they are stored; if the "
        f"slide should be turned, use {vips('autorot')}"
    ]


def _masked(path: Path, masks: set[int]) -> list[str]:
    """Return a warning about masks, as GDAL writes them into or beside the file."""
    names = [f"image {number + 1}" for number in sorted(masks)]
    beside = path.with_name(f"{path.name}.msk")
    if beside.exists():
        names.append(beside.name)
    if not names:
        return []
    return [
        f"{path.name}: its mask of valid pixels ({', '.join(names)}) is not applied: what it hides is read "
        "as it is stored; if that is black, make it white in the file"
    ]
