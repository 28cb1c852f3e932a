"""Scan of the metadata of one DICOM file up to its pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wsi_embed.slide.dicom.elements import (
    EXTENDED_OFFSETS,
    PER_FRAME_GROUPS,
    PIXEL_DATA,
    SERIES_INSTANCE_UID,
    DicomReader,
    Element,
    Value,
)

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


class Values(dict[int, Value]):
    """Values by tag, with a default if one is missing or has another number of parts."""

    def text(self, tag: int) -> str:
        """Return the first text; empty without a value."""
        return self[tag].texts[0] if tag in self else ""

    def numbers(self, count: int, *tags: int) -> tuple[float, ...] | None:
        """Return the numbers of all tags together; None unless they are as many as `count`."""
        found = tuple(number for tag in tags if tag in self for number in self[tag].numbers)
        return found if len(found) == count else None

    def pair(self, *tags: int) -> tuple[float, float] | None:
        """Return the two numbers of one or two tags."""
        found = self.numbers(2, *tags)
        return None if found is None else (found[0], found[1])

    def number(self, tag: int) -> float | None:
        """Return the only number."""
        return (self.numbers(1, tag) or (None,))[0]

    def count(self, tag: int, default: int) -> int:
        """Return the only number as an integer."""
        return int((self.numbers(1, tag) or (default,))[0])


@dataclass
class Scan:
    """Elements of a file: the wanted values, positions of larger ones, and the head of the first frame."""

    values: Values = field(default_factory=Values)
    pixels: Element | None = None
    per_frame: Element | None = None
    extended: Element | None = None
    head: bytes = b""


def scan_file(path: Path) -> Scan:
    """Read a file up to its pixel data, and the head of the first frame."""
    scan = Scan()
    with path.open("rb") as data:
        reader = DicomReader(data)
        _collect(reader, reader.elements(), WANTED, scan)
        if scan.pixels is not None:
            scan.head = reader.first_fragment(scan.pixels, HEAD)
    return scan


def _collect(reader: DicomReader, elements: Iterator[Element], wanted: Mapping[int, Any], scan: Scan) -> None:
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
