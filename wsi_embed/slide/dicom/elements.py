"""Reader of DICOM elements in explicit little endian (PS3.5, section 7), robust to wrong numbers."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

SERIES_INSTANCE_UID, PER_FRAME_GROUPS, PIXEL_DATA = 0x0020000E, 0x52009230, 0x7FE00010
EXTENDED_OFFSETS = 0x7FE00001
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
UNDEFINED = 0xFFFFFFFF
PREAMBLE = 128
MOST_ELEMENTS = 1 << 16
MOST_BYTES = 4096  # largest value that is read
# A slide of many frames has more elements in this sequence than in all others, and pixel data after it.
PER_FRAME_END = struct.pack("<HHIH", 0xFFFE, 0xE0DD, 0, 0x7FE0)
PER_FRAME_MOST = 256 << 20

# Value representations whose length has four bytes, after two reserved ones.
LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
BINARY = {b"US": "H", b"SS": "h", b"UL": "I", b"SL": "i", b"FL": "f", b"FD": "d"}


class DicomError(ValueError):
    """Error for a file that is not DICOM in explicit little endian, or whose lengths are wrong."""


@dataclass(frozen=True)
class Element:
    """Element of a DICOM file, and the position of its value.

    Attributes:
        tag: Group and number as one integer.
        kind: Value representation; empty for item marks.
        start: Offset of the value.
        length: Size of the value in bytes, or UNDEFINED.
    """

    tag: int
    kind: bytes
    start: int
    length: int


@dataclass(frozen=True)
class Value:
    """Value of an element.

    Attributes:
        kind: Value representation.
        data: Bytes of the value.
    """

    kind: bytes
    data: bytes

    @property
    def texts(self) -> tuple[str, ...]:
        """Texts in the value, without padding."""
        return tuple(text.strip(" \0") for text in self.data.decode("latin-1").split("\\"))

    @property
    def numbers(self) -> tuple[float, ...]:
        """Numbers in the value; empty if one of them is not a finite number."""
        try:
            if self.kind in BINARY:
                form = struct.Struct("<" + BINARY[self.kind])
                found = tuple(float(number) for (number,) in form.iter_unpack(self.data))
            else:
                found = tuple(map(float, self.texts))
        except (ValueError, struct.error):
            return ()
        return found if all(map(math.isfinite, found)) else ()


class DicomReader:
    """Reader of the elements of an open file.

    Args:
        data: Open file.

    Raises:
        DicomError: If the file is not DICOM.
    """

    def __init__(self, data: BinaryIO) -> None:
        self._data = data
        self._left = MOST_ELEMENTS
        if self._bytes(PREAMBLE, 4) != b"DICM":
            raise DicomError("no DICOM")

    def elements(self) -> Iterator[Element]:
        """Yield the elements outside of any sequence, in order.

        Raises:
            DicomError: If the file ends early, or its lengths are wrong.
        """
        return self._elements(PREAMBLE + 4, math.inf)

    def first_item(self, sequence: Element) -> Iterator[Element]:
        """Yield the elements of the first item of a sequence. Errors are those of `elements`."""
        if sequence.length < 8:
            return iter(())
        item = self._element(sequence.start)
        end = math.inf if item.length == UNDEFINED else item.start + item.length
        return self._elements(item.start, end) if item.tag == ITEM else iter(())

    def value(self, element: Element) -> Value:
        """Return the value of an element, of at most 4096 bytes. Errors are those of `elements`."""
        if element.length > MOST_BYTES:
            raise DicomError(f"a value of {element.length} bytes")
        return Value(element.kind, self._bytes(element.start, element.length))

    def first_fragment(self, pixels: Element, most: int) -> bytes:
        """Return the first bytes of compressed pixel data, after the table of offsets; else empty.

        Args:
            pixels: Element of the pixel data.
            most: Number of bytes.

        Raises:
            DicomError: As for `elements`.
        """
        if pixels.length != UNDEFINED:
            return b""
        table = self._element(pixels.start)
        fragment = self._element(table.start + table.length)
        if (table.tag, fragment.tag) != (ITEM, ITEM):
            raise DicomError("pixel data without items")
        return self._bytes(fragment.start, min(fragment.length, most))

    def _elements(self, at: int, end: float) -> Iterator[Element]:
        while at < end:
            element = self._element(at)
            if element.tag in (ITEM_END, SEQUENCE_END):
                return
            yield element
            at = self._after(element)

    def _element(self, at: int, *, implicit: bool = False) -> Element:
        """Return the element at an offset; with `implicit`, it may lack a value representation."""
        self._left -= 1
        if self._left < 0:
            raise DicomError(f"more than {MOST_ELEMENTS} elements")
        self._data.seek(at)
        head = self._data.read(12)
        if len(head) < 8:
            raise DicomError("the file ends within an element")
        group, number, kind, short, long = struct.unpack("<HH2sHI", head.ljust(12, b"\0"))
        tag = group << 16 | number
        if group == 0xFFFE or (implicit and not _is_kind(kind)):
            return Element(tag, b"", at + 8, int.from_bytes(head[4:8], "little"))
        if not _is_kind(kind):
            raise DicomError("implicit value representations")
        if kind not in LONG:
            return Element(tag, kind, at + 8, short)
        if len(head) < 12:
            raise DicomError("the file ends within an element")
        return Element(tag, kind, at + 12, long)

    def _after(self, element: Element) -> int:
        """Return the offset of the next element; one of undefined length ends with a mark."""
        at = element.start
        if element.length != UNDEFINED:
            return at + element.length
        if element.tag == PER_FRAME_GROUPS:
            return self._find(PER_FRAME_END, at, PER_FRAME_MOST) + 8
        depth = 1
        while depth:
            # elements of unknown representation may contain implicit ones (6.2.2)
            inner = self._element(at, implicit=True)
            at = inner.start
            if inner.tag in (ITEM_END, SEQUENCE_END):
                depth -= 1
            elif inner.length == UNDEFINED:
                depth += 1
            else:
                at += inner.length
        return at

    def _find(self, wanted: bytes, at: int, most: int) -> int:
        """Return the offset of some bytes, searched from an offset on."""
        step, end = 1 << 20, at + most
        while at < end:
            self._data.seek(at)
            block = self._data.read(step + len(wanted) - 1)
            if (found := block.find(wanted)) >= 0:
                return at + found
            if len(block) < step:
                break
            at += step
        raise DicomError("a sequence without an end")

    def _bytes(self, at: int, size: int) -> bytes:
        self._data.seek(at)
        data = self._data.read(size)
        if len(data) != size:
            raise DicomError(f"the file ends before byte {at + size}")
        return data


def _is_kind(kind: bytes) -> bool:
    return kind.isalpha() and kind.isupper()
