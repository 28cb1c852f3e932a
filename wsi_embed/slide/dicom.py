"""Just enough DICOM to tell which files of a folder are one slide (DICOM PS3.5, section 7)."""

from __future__ import annotations

import functools
import struct
from pathlib import Path

HEAD = 1024 * 1024
SERIES_INSTANCE_UID = (0x0020, 0x000E)
ITEM, ITEM_END, SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
UNDEFINED = 0xFFFFFFFF
# Value representations whose length has four bytes, after two reserved ones.
LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})


def named_as_dicom(path: Path) -> bool:
    """Whether a file may be DICOM by its name: `.dcm`, or, out of an archive, no extension or a bare UID."""
    suffix = path.suffix.lower()
    return suffix == ".dcm" or ((suffix == "" or suffix[1:].isdigit()) and not path.name.startswith("."))


def dicom_series(path: Path) -> bytes | None:
    """SeriesInstanceUID of an explicit little-endian DICOM file, or None.

    Sequences are skipped: the series that they refer to are other slides.

    Raises:
        OSError: The file cannot be read.
    """
    stat = path.stat()
    return _series(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=65536)  # every slide of a folder asks for every file beside it
def _series(path: Path, size: int, changed: int) -> bytes | None:
    with path.open("rb") as data:
        head = data.read(132)
        if head[128:] != b"DICM":
            return None
        return series_in(head + data.read(HEAD))


def series_in(head: bytes) -> bytes | None:
    """SeriesInstanceUID by the first bytes of a file; None where they do not say it."""
    if head[128:132] != b"DICM":
        return None
    try:
        at = 132
        while True:
            tag, length, value = _element(head, at)
            if tag == SERIES_INSTANCE_UID:
                return head[value : value + length].rstrip(b"\x00 ")
            if tag > SERIES_INSTANCE_UID:  # tags ascend: there is none
                return None
            at = _after(head, length, value)
    except (struct.error, ValueError):
        return None


def _element(head: bytes, at: int) -> tuple[tuple[int, int], int, int]:
    """Tag, length of the value, and where the value begins."""
    group, element, kind = struct.unpack_from("<HH2s", head, at)
    if group == 0xFFFE:  # item marks have no value representation
        return (group, element), struct.unpack_from("<I", head, at + 4)[0], at + 8
    if not (kind.isalpha() and kind.isupper()):
        raise ValueError("implicit value representations")
    if kind in LONG:
        return (group, element), struct.unpack_from("<I", head, at + 8)[0], at + 12
    return (group, element), struct.unpack_from("<H", head, at + 6)[0], at + 8


def _after(head: bytes, length: int, value: int) -> int:
    """Where the next element begins; a sequence or item of undefined length ends with a mark."""
    if length != UNDEFINED:
        return value + length
    at = value
    while True:
        tag, inner, start = _element(head, at)
        if tag in (ITEM_END, SEQUENCE_END):
            return start
        at = _after(head, inner, start)
