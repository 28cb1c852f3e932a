"""Metadata of one file of a DICOM whole-slide image (PS3.3, A.32.8)."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wsi_embed.slide.dicom.elements import (
    EXTENDED_OFFSETS,
    PER_FRAME_GROUPS,
    PIXEL_DATA,
    SERIES_INSTANCE_UID,
    DicomError,
    DicomReader,
    Element,
    Value,
)
from wsi_embed.slide.fingerprint import slide_files

HEAD = 1 << 16  # bytes of the first frame; a profile may precede the colour information
TRANSFER_SYNTAX, IMAGE_TYPE, SOP_CLASS, SOP_INSTANCE = 0x00020010, 0x00080008, 0x00080016, 0x00080018
FRAME_OF_REFERENCE, BURNED_IN, LABEL_IN_IMAGE = 0x00200052, 0x00280301, 0x00480010
CONCATENATION, PART, FRAME_OFFSET, ORGANIZATION = 0x00209161, 0x00209162, 0x00209228, 0x00209311
SAMPLES, PHOTOMETRIC, FRAMES, ROWS, COLUMNS = 0x00280002, 0x00280004, 0x00280008, 0x00280010, 0x00280011
PIXEL_SPACING, BITS_ALLOCATED, BITS_STORED, PIXEL_MEASURES = 0x00280030, 0x00280100, 0x00280101, 0x00289110
CONTAINER, X_OFFSET, Y_OFFSET = 0x00400512, 0x0040072A, 0x0040073A
VOLUME_WIDTH, VOLUME_HEIGHT, MATRIX_COLUMNS, MATRIX_ROWS = 0x00480001, 0x00480002, 0x00480006, 0x00480007
ORIGIN, ORIENTATION, OPTICAL_PATHS, OBJECTIVE_POWER = 0x00480008, 0x00480102, 0x00480105, 0x00480112
OPTICAL_PATH_COUNT, FOCAL_PLANES, SHARED_GROUPS = 0x00480302, 0x00480303, 0x52009229

# Tags that are read, for sequences from their first item. If a tag occurs twice, the first one counts.
_GROUPS: Mapping[int, Any] = {PIXEL_MEASURES: {PIXEL_SPACING: None}}
WANTED: Mapping[int, Any] = {
    **dict.fromkeys((TRANSFER_SYNTAX, IMAGE_TYPE, SOP_CLASS, SOP_INSTANCE, SERIES_INSTANCE_UID)),
    **dict.fromkeys(
        (FRAME_OF_REFERENCE, CONCATENATION, PART, FRAME_OFFSET, ORGANIZATION, SAMPLES, PHOTOMETRIC, FRAMES)
    ),
    **dict.fromkeys((ROWS, COLUMNS, BITS_ALLOCATED, BITS_STORED, CONTAINER, VOLUME_WIDTH, VOLUME_HEIGHT)),
    **dict.fromkeys((MATRIX_COLUMNS, MATRIX_ROWS, ORIENTATION, OPTICAL_PATH_COUNT, FOCAL_PLANES)),
    **dict.fromkeys((BURNED_IN, LABEL_IN_IMAGE)),
    ORIGIN: {X_OFFSET: None, Y_OFFSET: None},
    OPTICAL_PATHS: {OBJECTIVE_POWER: None},
    SHARED_GROUPS: _GROUPS,
    PER_FRAME_GROUPS: _GROUPS,
}
SHOWN = {"SpecimenLabelInImage": LABEL_IN_IMAGE, "BurnedInAnnotation": BURNED_IN}
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
        return _as_instance(path, _scan(path))
    except DicomError:
        return None


class _Values(dict[int, Value]):
    """Values by tag, with a default if one is missing or has another number of parts."""

    def text(self, tag: int) -> str:
        return self[tag].texts[0] if tag in self else ""

    def numbers(self, count: int, *tags: int) -> tuple[float, ...] | None:
        found = tuple(number for tag in tags if tag in self for number in self[tag].numbers)
        return found if len(found) == count else None

    def pair(self, *tags: int) -> tuple[float, float] | None:
        found = self.numbers(2, *tags)
        return None if found is None else (found[0], found[1])

    def number(self, tag: int) -> float | None:
        return (self.numbers(1, tag) or (None,))[0]

    def count(self, tag: int, default: int) -> int:
        return int((self.numbers(1, tag) or (default,))[0])


@dataclass
class _Scan:
    """Elements of a file: the wanted values, positions of larger ones, and the head of the first frame."""

    values: _Values = field(default_factory=_Values)
    pixels: Element | None = None
    per_frame: Element | None = None
    extended: Element | None = None
    head: bytes = b""


def _scan(path: Path) -> _Scan:
    """Read a file up to its pixel data, and the head of the first frame."""
    scan = _Scan()
    with path.open("rb") as data:
        reader = DicomReader(data)
        _collect(reader, reader.elements(), WANTED, scan)
        if scan.pixels is not None:
            scan.head = reader.first_fragment(scan.pixels, HEAD)
    return scan


def _collect(
    reader: DicomReader, elements: Iterator[Element], wanted: Mapping[int, Any], scan: _Scan
) -> None:
    """Add the values of the wanted tags, up to the pixel data."""
    for element in elements:
        if element.tag == PIXEL_DATA:
            scan.pixels = element
            return
        if element.tag == EXTENDED_OFFSETS:
            scan.extended = element
        if element.tag not in wanted:
            continue
        if element.tag == PER_FRAME_GROUPS:
            scan.per_frame = element
        within = wanted[element.tag]
        if within is None:
            scan.values.setdefault(element.tag, reader.value(element))
        else:
            _collect(reader, reader.first_item(element), within, scan)


def _as_instance(path: Path, scan: _Scan) -> DicomInstance | None:
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
