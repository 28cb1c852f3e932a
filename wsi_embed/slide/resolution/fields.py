"""Metadata fields that state a resolution."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from wsi_embed.slide.dicom.instance import DicomInstance, dicom_instances
from wsi_embed.slide.ome import OmePixels, ome_pixels
from wsi_embed.slide.resolution.lengths import micrometers
from wsi_embed.slide.resolution.stated import MPP_TIMES_POWER, Stated, alike
from wsi_embed.slide.vendors.aperio import described_size, resized
from wsi_embed.slide.vendors.leica import leica_resolutions

# OpenSlide reads vendor fields for these, and the resolution tags for all other kinds of TIFF.
VENDORS_WITH_TAGS_BESIDE = ("aperio", "philips", "ventana")
# Spacing between rows and between columns (mm) of the first level of a Philips slide.
PHILIPS_LEVEL = "philips.PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE[0].DICOM_PIXEL_SPACING"
TAG_UNITS = {"inch": "inch", "centimeter": "cm"}


def stated_resolutions(
    path: Path, vendor: str, size: tuple[int, int], properties: Mapping[str, str], description: str = ""
) -> tuple[Stated, ...]:
    """Return all resolutions stated in the metadata of a slide, OpenSlide's first.

    Args:
        path: Slide file.
        vendor: OpenSlide's name of the vendor.
        size: (width, height) of level 0, pixels.
        properties: OpenSlide's properties of the slide.
        description: ImageDescription of the first image of a TIFF, if `properties` lack it.

    Raises:
        OSError: If a file cannot be read.
    """
    x, y = (_number(properties.get(name)) for name in ("openslide.mpp-x", "openslide.mpp-y"))
    stated = [Stated((x, y), "openslide.mpp-x")] if x is not None and y is not None else []
    if vendor == "aperio":
        stated = stated or list(_aperio(properties))
        stated += _resized_aperio(properties, size, stated)
    if vendor in VENDORS_WITH_TAGS_BESIDE:
        unit = TAG_UNITS.get(properties.get("tiff.ResolutionUnit", ""), "")
        # implausible tags are defaults of programs, and ignored beside the vendor's field
        stated += (tags for tags in _tags(properties, unit, "resolution tags") if tags.plausible)
        stated += (found for found in _philips_level(properties) if found.plausible)
    elif vendor == "huron":
        stated += (found for found in _huron(properties) if found.plausible)
    elif vendor == "generic-tiff":
        description = properties.get("openslide.comment", "")
        stated += _ome(ome_pixels(description), size, stated)
        stated += _tags(properties, _imagej_unit(description), "ImageJ unit")
    elif vendor == "leica":
        stated += leica_resolutions(description)
    elif vendor == "dicom":
        for instance in (found for found in dicom_instances(path) if found.matrix == size):
            if instance.mpp and not stated:  # OpenSlide does not read that of single frames
                stated.append(Stated(instance.mpp, "DICOM PixelSpacing"))
            stated += _volume(instance)
    return tuple(dict.fromkeys(stated))  # the parts of one DICOM image state the same


def _aperio(properties: Mapping[str, str]) -> Iterator[Stated]:
    """Yield the resolution in the description of an Aperio slide that OpenSlide overlooks.

    OpenSlide reads `MPP = 0.25`, but not `mpp = 0.25` or `MPP = 0.25 um`.
    """
    for name, text in properties.items():
        number, _, unit = text.strip().partition(" ")
        mpp = micrometers(number, unit or "um")
        if name.casefold() == "aperio.mpp" and mpp is not None:
            yield Stated((mpp, mpp), name)


def _resized_aperio(
    properties: Mapping[str, str], size: tuple[int, int], stated: Sequence[Stated]
) -> Iterator[Stated]:
    """Yield the resolution of a resized Aperio slide whose metadata are those of the original image."""
    before = described_size(properties.get("openslide.comment", ""), size)
    if before is None:
        return
    if not stated:
        power = _number(properties.get("openslide.objective-power"))
        if not power or power < 0:
            return
        stated = [Stated((MPP_TIMES_POWER / power,) * 2, "objective power")]
        yield stated[0]
    (x, y), (across, down) = stated[0].mpp, (a / b for a, b in zip(before, size, strict=True))
    words = f"its description is of {before[0]} x {before[1]} pixels, and it has {size[0]} x {size[1]}"
    yield Stated((x * across, y * down), words)


def _ome(ome: OmePixels | None, size: tuple[int, int], stated: Sequence[Stated]) -> Iterator[Stated]:
    """Yield the resolution in OME-XML.

    That of one axis, and that of another size, from which the image may have been resized, are not reliable,
    and only compared with others.
    """
    if ome is None:
        return
    mpp, compared = ome.mpp, any(other.plausible for other in stated)
    if mpp is None and ome.only_size is not None and compared:
        mpp = ome.only_size, ome.only_size
    if mpp is None:
        return
    if ome.size is None or ome.size == size:
        yield Stated(mpp, "OME PhysicalSizeX")
    elif resized(ome.size, size) and compared:
        words = f"its OME-XML is of {ome.size[0]} x {ome.size[1]} pixels, and it has {size[0]} x {size[1]}"
        yield Stated((mpp[0] * ome.size[0] / size[0], mpp[1] * ome.size[1] / size[1]), words)


def _tags(properties: Mapping[str, str], unit: str, source: str) -> Iterator[Stated]:
    """Yield the resolution from the resolution tags of a TIFF, which count pixels per unit."""
    across, down = (_number(properties.get(f"tiff.{axis}Resolution")) for axis in "XY")
    length = micrometers("1", unit)
    if across and down and length is not None:
        yield Stated((length / across, length / down), source)


def _philips_level(properties: Mapping[str, str]) -> Iterator[Stated]:
    """Yield the resolution in the description of a Philips slide's first level, beside that of the image."""
    found = [_number(text) for text in re.findall(r"[^\s\"]+", properties.get(PHILIPS_LEVEL, ""))]
    if len(found) == 2 and found[0] is not None and found[1] is not None:
        yield Stated((found[1] * 1000, found[0] * 1000), "spacing of the Philips level")


def _huron(properties: Mapping[str, str]) -> Iterator[Stated]:
    """Yield the resolution in the description of a Huron slide, such as `0.5 um`."""
    number, _, unit = properties.get("huron.Resolution", "").strip().partition(" ")
    mpp = micrometers(number, unit)
    if mpp is not None:
        yield Stated((mpp, mpp), "Huron Resolution")


def _imagej_unit(description: str) -> str:
    """Return ImageJ's unit of the resolution tags; empty if unknown."""
    if not description.startswith("ImageJ="):
        return ""
    fields = (line.partition("=") for line in description.splitlines())
    return next((value for name, _, value in fields if name == "unit"), "")


def _volume(instance: DicomInstance) -> Iterator[Stated]:
    """Yield the imaged volume of a DICOM image divided by its pixels, if that differs from PixelSpacing.

    Some programs write the size of the glass, swap width and height, or ignore the padding of the last tiles.
    The value therefore counts only if it makes pixels square and is off by more than a tile.
    """
    if instance.volume is None:
        return
    x, y = (1000 * side / pixels for side, pixels in zip(instance.volume, instance.matrix, strict=True))
    spacing = instance.mpp or (0.0, 0.0)
    within_a_tile = all(
        abs(1000 * side - mpp * pixels) <= mpp * tile
        for side, mpp, pixels, tile in zip(
            instance.volume, spacing, instance.matrix, instance.tile, strict=True
        )
    )
    if alike(x, y) and not within_a_tile:
        yield Stated((x, y), "DICOM ImagedVolumeWidth")


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None
