"""DICOM files as trees of elements (explicit little-endian, PS3.5 section 7), written as they are told to be.

Libraries mend what they write. Here lengths, value representations and order may be as wrong as a test wants.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

PREAMBLE = 132
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
UNDEFINED = 0xFFFFFFFF
LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
NUMBERS = {b"US": "H", b"SS": "h", b"UL": "I", b"SL": "i", b"FD": "d", b"FL": "f"}


@dataclass
class Element:
    """An element.

    Attributes:
        tag: Group and number, 0xGGGGEEEE.
        vr: Value representation.
        value: Its bytes; the items of a sequence; or, of encapsulated pixels, the fragments.
        undefined: Whether it is written without its length, with a mark at the end.
        length: What is written for its length, where that is not the truth.
    """

    tag: int
    vr: bytes
    value: bytes | list[list[Element]] | list[bytes]
    undefined: bool = False
    length: int | None = None


Dataset = list[Element]


def parsed(content: bytes) -> Dataset:
    """Return the elements of a well-formed file."""
    return _elements(content, PREAMBLE, len(content))


def fragments(element: Element) -> list[bytes]:
    """Return the fragments of encapsulated pixels, the table of offsets first; none of another element."""
    return (
        [part for part in element.value if isinstance(part, bytes)] if isinstance(element.value, list) else []
    )


def _elements(content: bytes, at: int, end: int) -> Dataset:
    found = []
    while at < end:
        tag, vr, length, value = _head(content, at)
        if tag == ITEM_END:
            break
        undefined = length == UNDEFINED
        if vr == b"SQ":
            items, at = _items(content, value, len(content) if undefined else value + length)
            found.append(Element(tag, vr, [_elements(content, *item) for item in items], undefined))
        elif undefined:
            items, at = _items(content, value, len(content))
            found.append(Element(tag, vr, [content[start:stop] for start, stop in items], True))
        else:
            at = value + length
            found.append(Element(tag, vr, content[value:at]))
    return found


def _head(content: bytes, at: int) -> tuple[int, bytes, int, int]:
    """Return tag, value representation, length, and where the value begins."""
    group, number, vr = struct.unpack_from("<HH2s", content, at)
    tag = group << 16 | number
    if group == 0xFFFE:
        return tag, b"", struct.unpack_from("<I", content, at + 4)[0], at + 8
    if vr in LONG:
        return tag, vr, struct.unpack_from("<I", content, at + 8)[0], at + 12
    return tag, vr, struct.unpack_from("<H", content, at + 6)[0], at + 8


def _items(content: bytes, at: int, end: int) -> tuple[list[tuple[int, int]], int]:
    """Return where the items of a sequence begin and end, and what follows it."""
    items: list[tuple[int, int]] = []
    while at < end:
        tag, _, length, value = _head(content, at)
        if tag == SEQUENCE_END:
            return items, value
        if length == UNDEFINED:
            at = _end_of_item(content, value)
            items.append((value, at - 8))
        else:
            at = value + length
            items.append((value, at))
    return items, at


def _end_of_item(content: bytes, at: int) -> int:
    while True:
        tag, vr, length, value = _head(content, at)
        if tag == ITEM_END:
            return value
        if length == UNDEFINED or vr == b"SQ":
            at = _items(content, value, len(content) if length == UNDEFINED else value + length)[1]
        else:
            at = value + length


def written(dataset: Dataset) -> bytes:
    """Return the file of a dataset."""
    return bytes(PREAMBLE - 4) + b"DICM" + b"".join(map(_written, dataset))


def _written(element: Element) -> bytes:
    value = element.value
    if isinstance(value, list):
        value = b"".join(_item(item, closed=not element.undefined) for item in value)
        if element.undefined:
            value += struct.pack("<HHI", *divmod(SEQUENCE_END, 1 << 16), 0)
    length = UNDEFINED if element.undefined else len(value)
    length = length if element.length is None else element.length
    head = struct.pack("<HH2s", *divmod(element.tag, 1 << 16), element.vr)
    if element.vr in LONG:
        return head + struct.pack("<HI", 0, length % (1 << 32)) + value
    return head + struct.pack("<H", length % (1 << 16)) + value


def _item(item: Dataset | bytes, *, closed: bool) -> bytes:
    mark = divmod(ITEM, 1 << 16)
    if isinstance(item, bytes):  # a fragment of pixels
        return struct.pack("<HHI", *mark, len(item)) + item
    value = b"".join(map(_written, item))
    if closed:
        return struct.pack("<HHI", *mark, len(value)) + value
    return struct.pack("<HHI", *mark, UNDEFINED) + value + struct.pack("<HHI", *divmod(ITEM_END, 1 << 16), 0)


def everywhere(dataset: Dataset) -> Iterator[tuple[Dataset, Element]]:
    """Yield all elements at any depth, each with the dataset that it is in."""
    for element in dataset:
        yield dataset, element
        if element.vr == b"SQ" and isinstance(element.value, list):
            for item in element.value:
                if isinstance(item, list):
                    yield from everywhere(item)
