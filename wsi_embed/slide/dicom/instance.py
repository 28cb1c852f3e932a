"""Metadata of one file of a DICOM whole-slide image (PS3.3, A.32.8)."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from wsi_embed.slide.dicom.elements import SERIES_INSTANCE_UID, DicomError, Element
from wsi_embed.slide.dicom.scan import (
    BITS_ALLOCATED,
    BITS_STORED,
    COLUMNS,
    CONCATENATION,
    CONTAINER,
    FOCAL_PLANES,
    FRAME_OF_REFERENCE,
    FRAME_OFFSET,
    FRAMES,
    IMAGE_TYPE,
    MATRIX_COLUMNS,
    MATRIX_ROWS,
    OBJECTIVE_POWER,
    OPTICAL_PATH_COUNT,
    ORGANIZATION,
    ORIENTATION,
    PART,
    PHOTOMETRIC,
    PIXEL_SPACING,
    ROWS,
    SAMPLES,
    SHOWN,
    SOP_CLASS,
    SOP_INSTANCE,
    TRANSFER_SYNTAX,
    VOLUME_HEIGHT,
    VOLUME_WIDTH,
    X_OFFSET,
    Y_OFFSET,
    Scan,
    scan_file,
)
from wsi_embed.slide.fingerprint import slide_files

# Implicit, deflated, big-endian.
OTHER_ENCODINGS = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"})


@dataclass(frozen=True)
class DicomInstance:
    """File of a slide: an image, or part of one.

    Attributes:
        path: The file.
        transfer_syntax: UID of the encoding of the pixels.
        sop_class: UID of the kind of object.
        sop_instance: UID of the object; copies of a file have one.
        series: SeriesInstanceUID.
        image_type: ORIGINAL or DERIVED, PRIMARY, then VOLUME, LABEL, OVERVIEW or THUMBNAIL, and so on.
        label: Name of the attribute by which the image shows the label or other text; empty without one.
        matrix: (columns, rows) of the whole image, pixels.
        tile: (columns, rows) of a frame, pixels.
        mpp: Micrometres per pixel, (x, y), from PixelSpacing; None if missing.
        origin: (x, y) of the first pixel in slide coordinates, mm; None if missing.
        orientation: Directions of rows and columns on the glass, six cosines; None if missing.
        volume: (width, height) of the imaged volume, mm; None if missing.
        objective_power: Magnification of the first optical path, or None.
        frames: Number of frames.
        focal_planes: Number of focal planes.
        optical_paths: Number of optical paths.
        samples: Number of samples per pixel.
        bits_allocated: Bits allocated per sample.
        bits_stored: Bits stored per sample.
        photometric: PhotometricInterpretation.
        organization: TILED_FULL, TILED_SPARSE, or empty.
        container: Identifier of the glass slide, or None.
        frame_of_reference: UID of the coordinate system, or None.
        concatenation: UID shared by the parts of one image, or None.
        part: Number of the part among those of one image, from 1, or None.
        frame_offset: Number of frames in preceding parts of the image, or None.
        frame_head: First bytes of the first frame, at most 64 KB; empty if frames are not compressed.
        pixels: Element of the pixel data, or None.
        per_frame: Element of the sequence that describes each frame, or None.
        extended: Element of the Extended Offset Table, or None.
    """

    path: Path
    transfer_syntax: str
    sop_class: str
    sop_instance: str
    series: str
    image_type: tuple[str, ...]
    label: str
    matrix: tuple[int, int]
    tile: tuple[int, int]
    mpp: tuple[float, float] | None
    origin: tuple[float, float] | None
    orientation: tuple[float, ...] | None
    volume: tuple[float, float] | None
    objective_power: float | None
    frames: int
    focal_planes: int
    optical_paths: int
    samples: int
    bits_allocated: int
    bits_stored: int
    photometric: str
    organization: str
    container: str | None
    frame_of_reference: str | None
    concatenation: str | None
    part: int | None
    frame_offset: int | None
    frame_head: bytes
    pixels: Element | None = field(default=None, compare=False)
    per_frame: Element | None = field(default=None, compare=False)
    extended: Element | None = field(default=None, compare=False)

    @property
    def is_volume(self) -> bool:
        """Whether OpenSlide takes the image for a level."""
        return self.image_type[2:3] == ("VOLUME",)


def dicom_instances(path: Path) -> list[DicomInstance]:
    """Return the instances of all files of a slide; empty if it is not DICOM.

    Args:
        path: One of the slide's files.

    Raises:
        OSError: If a file cannot be read.
    """
    return [found for file in slide_files(path) if (found := dicom_instance(file)) is not None]


def without_copies(instances: Iterable[DicomInstance]) -> list[DicomInstance]:
    """Return the instances without those of copied files, which OpenSlide reads once."""
    found = dict[str, DicomInstance]()
    for instance in instances:
        found.setdefault(instance.sop_instance or str(instance.path), instance)
    return list(found.values())


def dicom_instance(path: Path) -> DicomInstance | None:
    """Read the metadata of a file; None if it is not a whole-slide image in explicit little endian.

    Raises:
        OSError: If the file cannot be read.
    """
    stat = path.stat()
    return _instance(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=128)
def _instance(path: Path, size: int, changed: int) -> DicomInstance | None:
    try:
        return _as_instance(path, scan_file(path))
    except DicomError:
        return None


def _as_instance(path: Path, scan: Scan) -> DicomInstance | None:
    values = scan.values
    text, count, pair = values.text, values.count, values.pair
    columns, rows = count(MATRIX_COLUMNS, 0), count(MATRIX_ROWS, 0)
    tile = count(COLUMNS, 0), count(ROWS, 0)
    syntax, series = text(TRANSFER_SYNTAX), text(SERIES_INSTANCE_UID)
    if min(columns, rows, *tile) < 1 or not syntax or syntax in OTHER_ENCODINGS:
        return None
    spacing = pair(PIXEL_SPACING)  # the distance between rows is y
    part, offset = values.number(PART), values.number(FRAME_OFFSET)
    return DicomInstance(
        path=path,
        transfer_syntax=syntax,
        sop_class=text(SOP_CLASS),
        sop_instance=text(SOP_INSTANCE),
        series=series,
        image_type=values[IMAGE_TYPE].texts if IMAGE_TYPE in values else (),
        label=next((name for name, tag in SHOWN.items() if text(tag).upper() == "YES"), ""),
        matrix=(columns, rows),
        tile=tile,
        mpp=None if spacing is None else (spacing[1] * 1000, spacing[0] * 1000),
        origin=pair(X_OFFSET, Y_OFFSET),
        orientation=values.numbers(6, ORIENTATION),
        volume=pair(VOLUME_WIDTH, VOLUME_HEIGHT),
        objective_power=values.number(OBJECTIVE_POWER),
        frames=count(FRAMES, 1),
        focal_planes=count(FOCAL_PLANES, 1),
        optical_paths=count(OPTICAL_PATH_COUNT, 1),
        samples=count(SAMPLES, 0),
        bits_allocated=count(BITS_ALLOCATED, 0),
        bits_stored=count(BITS_STORED, 0),
        photometric=text(PHOTOMETRIC),
        organization=text(ORGANIZATION),
        container=text(CONTAINER) or None,
        frame_of_reference=text(FRAME_OF_REFERENCE) or None,
        concatenation=text(CONCATENATION) or None,
        part=None if part is None else int(part),
        frame_offset=None if offset is None else int(offset),
        frame_head=scan.head,
        pixels=scan.pixels,
        per_frame=scan.per_frame,
        extended=scan.extended,
    )
