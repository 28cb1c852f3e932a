"""Slides of which OpenSlide would read wrong colours: it believes the file's word, not the codestream."""

from __future__ import annotations

import numpy as np

from wsi_embed.errors import SlideError
from wsi_embed.slide.dicom_instance import DicomInstance, dicom_instances, first_frame
from wsi_embed.slide.openslide import OpenSlideSlide
from wsi_embed.slide.photometric import NAMES, jpeg2000_colours, jpeg_colours, transforms_colours
from wsi_embed.slide.settle import TIFF_VENDORS
from wsi_embed.slide.tiff import directory as tiff
from wsi_embed.slide.tiff.directory import Directory, TiffError
from wsi_embed.slide.tiff.jpeg import RGB, YCBCR
from wsi_embed.slide.tiff.level import JPEG, MOST_TILES, JpegLevel

APERIO_YCBCR, APERIO_RGB = 33003, 33005  # Aperio's numbers for JPEG 2000
DICOM_JPEG = "1.2.840.10008.1.2.4.50"
DICOM_JPEG2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
# OpenSlide refuses other words.
DICOM_WORDS = {"RGB": RGB, "YBR_FULL_422": YCBCR}
TRANSFORMED = ("YBR_ICT", "YBR_RCT")
LARGEST_TILE = 1 << 24  # bytes


def check_colours(slide: OpenSlideSlide) -> None:
    """Refuse a slide of whose colours the file says something wrong, which OpenSlide would follow.

    Args:
        slide: The slide as OpenSlide opened it.

    Raises:
        SlideError: It is one.
        OSError: A file cannot be read.
    """
    if slide.vendor == "dicom":
        for instance in dicom_instances(slide.path):
            if wrong := _wrong_instance(instance):
                raise SlideError(f"{instance.path}: {wrong}")
        return
    settled = slide.vendor in TIFF_VENDORS  # of the others every tiled image may be a level
    for image in slide.tiff_images:
        if not image.tiled or (settled and image.facts.size not in slide.stored_sizes):
            continue
        if wrong := wrong_colours(image.directory):
            raise SlideError(f"{slide.path}: {wrong}")


def wrong_colours(directory: Directory) -> str | None:
    """Return why OpenSlide would read wrong colours of a directory, and what to do; None if it would not.

    Raises:
        OSError: The file cannot be read.
    """
    try:
        if directory.number(tiff.COMPRESSION) == JPEG:
            return _wrong_jpeg(JpegLevel(directory))
        if directory.number(tiff.COMPRESSION) == APERIO_YCBCR:
            return _wrong_jpeg2000(_first_tile(directory))
    except TiffError:  # of a kind that is not read here
        pass
    return None


def _wrong_jpeg(level: JpegLevel) -> str | None:
    if level.colours == level.said:
        return None
    said, held = NAMES[level.said], NAMES[level.colours]
    return (
        f"its tag PhotometricInterpretation says {said}, but its JPEG tiles hold {held}, and OpenSlide "
        f"believes the tag; set it to {level.colours} ({held}), or leave out --reader openslide"
    )


def _wrong_jpeg2000(tile: bytes) -> str | None:
    if not transforms_colours(tile) or jpeg2000_colours(tile) != RGB:
        return None
    return (
        f"its tag Compression, {APERIO_YCBCR}, says that its JPEG 2000 tiles hold YCbCr, but they hold RGB, "
        f"and OpenSlide believes the tag; set it to {APERIO_RGB}"
    )


def _first_tile(directory: Directory) -> bytes:
    """The first tile that the file does not leave out, as it lies there; empty without any."""
    sizes = directory.numbers(tiff.TILE_BYTE_COUNTS, MOST_TILES)
    offsets = directory.numbers(tiff.TILE_OFFSETS, MOST_TILES)
    there = np.flatnonzero(sizes[: len(offsets)])
    if not len(there) or sizes[there[0]] > LARGEST_TILE:
        return b""
    return directory.file.read(int(offsets[there[0]]), int(sizes[there[0]]))


def _wrong_instance(instance: DicomInstance) -> str | None:
    if "VOLUME" not in instance.image_type or instance.samples != 3:  # OpenSlide makes levels of no others
        return None
    if instance.transfer_syntax == DICOM_JPEG and instance.photometric in DICOM_WORDS:
        return _wrong_dicom_jpeg(instance, DICOM_WORDS[instance.photometric])
    if instance.transfer_syntax in DICOM_JPEG2000 and instance.photometric in TRANSFORMED:
        return _wrong_dicom_jpeg2000(instance)
    return None


def _wrong_dicom_jpeg(instance: DicomInstance, said: int) -> str | None:
    try:
        held = jpeg_colours(first_frame(instance), b"", said, *instance.tile)
    except ValueError:  # damaged, as whoever reads it will find out
        return None
    if held == said:
        return None
    right = next(word for word, colours in DICOM_WORDS.items() if colours == held)
    return (
        f"its PhotometricInterpretation says {instance.photometric}, but its JPEG frames hold {NAMES[held]}, "
        f"and OpenSlide believes the former; set it to {right}, or convert the slide to TIFF"
    )


def _wrong_dicom_jpeg2000(instance: DicomInstance) -> str | None:
    """OpenSlide takes for RGB what comes of the frames, whether or not they have a transform to be undone."""
    if transforms_colours(instance.frame_head) is not False:
        return None
    if jpeg2000_colours(first_frame(instance)) == RGB:
        return None
    return (
        f"its PhotometricInterpretation says {instance.photometric}, but its JPEG 2000 frames have no colour "
        "transform and hold YCbCr, which OpenSlide takes for RGB; convert the slide to JPEG or TIFF"
    )
