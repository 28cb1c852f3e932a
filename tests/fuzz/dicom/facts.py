"""Mutations of what DICOM instances say of their pixels: sizes, numbers, spacing, kind, colours."""

from __future__ import annotations

import random
import struct

from tests.fuzz.dicom.elements import NUMBERS, Dataset, Element, everywhere
from tests.fuzz.values import BORDERS, FRACTIONS, ROUND, WORDS, bad_text

Series = dict[str, Dataset]

IMAGE_TYPE, PHOTOMETRIC, SPACING, ORGANIZATION = 0x00080008, 0x00280004, 0x00280030, 0x00209311
SIZES = (0x00280010, 0x00280011, 0x00480006, 0x00480007)  # Rows, Columns, TotalPixelMatrix...
COUNTS = (
    0x00280008,  # NumberOfFrames
    0x00480303,  # TotalPixelMatrixFocalPlanes
    0x00280002,  # SamplesPerPixel
    0x00280100, 0x00280101, 0x00280102, 0x00280103,  # BitsAllocated, BitsStored, HighBit, PixelRepresentation
    0x00209162, 0x00209228,  # InConcatenationNumber, ConcatenationFrameOffsetNumber
)  # fmt: skip
TEXT = frozenset({b"CS", b"DS", b"IS", b"LO", b"SH", b"UI", b"LT", b"DA", b"TM"})
TYPES = (
    "ORIGINAL\\PRIMARY\\VOLUME\\NONE", "ORIGINAL\\PRIMARY\\VOLUME", "DERIVED\\PRIMARY\\VOLUME\\RESAMPLED",
    "ORIGINAL\\PRIMARY\\LABEL\\NONE", "ORIGINAL\\PRIMARY\\OVERVIEW\\NONE",
    "DERIVED\\PRIMARY\\THUMBNAIL\\RESAMPLED",
    "ORIGINAL\\PRIMARY\\LOCALIZER\\NONE", "original\\primary\\volume\\none", "VOLUME", "\\\\\\", "",
    "DERIVED\\SECONDARY\\VOLUME\\RESAMPLED", "ORIGINAL\\PRIMARY\\VOLUME \\NONE ",
)  # fmt: skip
COLOURS = (
    "RGB", "YBR_FULL_422", "YBR_FULL", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_422", "MONOCHROME2", "MONOCHROME1",
    "PALETTE COLOR", "rgb", "RGB ", "", "ARGB",
)  # fmt: skip


def text(value: str) -> bytes:
    """Return a text as an element's value, of even length."""
    data = value.encode("utf-8")
    return data + b" " * (len(data) % 2)


def set_number(element: Element, number: int) -> None:
    """Give an element a number in its own representation, cut to its size."""
    letter = NUMBERS.get(element.vr)
    if letter is None:
        element.value = text(str(number))
    elif letter in "df":
        element.value = struct.pack(f"<{letter}", float(number))
    else:
        size = struct.calcsize(letter)
        element.value = (number % (1 << 8 * size)).to_bytes(size, "little")


def number_of(element: Element) -> int:
    """Return the number of an element; 0 where it has none."""
    value, letter = element.value, NUMBERS.get(element.vr)
    try:
        if not isinstance(value, bytes):
            return 0
        return int(struct.unpack(f"<{letter}", value)[0]) if letter else int(value)
    except (struct.error, ValueError, OverflowError):
        return 0


def chosen(instances: Series, rng: random.Random, tags: tuple[int, ...] | None = None) -> Element | None:
    """Choose an element with one of these tags at any depth of any instance; None where there is none."""
    if not instances:
        return None
    dataset = instances[rng.choice(list(instances))]
    found = [e for _, e in everywhere(dataset) if tags is None or e.tag in tags]
    return rng.choice(found) if found else None


def change_size(instances: Series, rng: random.Random) -> None:
    """Change the size of frames or of the whole image, a little or much."""
    if (element := chosen(instances, rng, SIZES)) is not None:
        now = number_of(element)
        near = (now + 1, now - 1, now + 40, now - 40, now * 2, now // 2, now * 4)
        set_number(element, rng.choice((*near, *near, 256, 512, *ROUND, *BORDERS)))


def change_count(instances: Series, rng: random.Random) -> None:
    """Change a number of frames, planes, samples or bits."""
    if (element := chosen(instances, rng, COUNTS)) is not None:
        now = number_of(element)
        set_number(element, rng.choice((now + 1, now - 1, 0, 1, 2, 3, 4, 8, 12, 16, *ROUND, *BORDERS)))


def change_spacing(instances: Series, rng: random.Random) -> None:
    """Change the distance of pixels."""
    if (element := chosen(instances, rng, (SPACING,))) is not None:
        a, b = rng.choice(FRACTIONS), rng.choice(FRACTIONS)
        near = ("0.00025\\0.00025", "0.0005\\0.0005", "0.002\\0.002", "0.0005\\0.0006", "0.5\\0.5")
        element.value = text(rng.choice((*near, f"{a}\\{b}", f"{a}\\{a}", a, f"{a}\\{a}\\{b}", "\\", "")))


def change_type(instances: Series, rng: random.Random) -> None:
    """Change whether an instance is a level, a label or an overview."""
    if (element := chosen(instances, rng, (IMAGE_TYPE,))) is not None:
        element.value = text(rng.choice(TYPES))


def change_colours(instances: Series, rng: random.Random) -> None:
    """Change the photometric interpretation, which the frames themselves state too."""
    if (element := chosen(instances, rng, (PHOTOMETRIC,))) is not None:
        element.value = text(rng.choice(COLOURS))


def change_organization(instances: Series, rng: random.Random) -> None:
    """Change how frames say where they lie."""
    if (element := chosen(instances, rng, (ORGANIZATION,))) is not None:
        element.value = text(rng.choice(("TILED_FULL", "TILED_SPARSE", "3D", "", "tiled_full", *WORDS)))


def change_text(instances: Series, rng: random.Random) -> None:
    """Change any text."""
    element = chosen(instances, rng)
    if element is not None and element.vr in TEXT:
        element.value = text(bad_text(rng))


MUTATIONS = (
    change_size, change_size, change_count, change_spacing, change_type, change_colours, change_organization,
    change_text,
)  # fmt: skip
