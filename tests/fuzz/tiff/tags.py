"""Tags of a TIFF, read and written in place."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from tests.fuzz.tiff.bases import directories

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 13: 4, 16: 8, 18: 8}
LETTERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}


@dataclass(frozen=True)
class Tag:
    """An entry of a directory.

    Attributes:
        at: Offset of the entry.
        code: Of the tag.
        kind: Type of its values.
        count: Number of its values.
        where: Offset of its values.
    """

    at: int
    code: int
    kind: int
    count: int
    where: int


def byte_order(out: bytes | bytearray) -> str:
    """Return the byte order as `struct` writes it."""
    return "<" if out[:1] == b"I" else ">"


def is_big(out: bytes | bytearray) -> bool:
    """Tell whether it is a BigTIFF."""
    return bytes(out[2:4]) in (b"+\0", b"\0+")


def tags(out: bytes | bytearray) -> list[dict[int, Tag]]:
    """Return the tags of each directory by code; none of a file that is mutated beyond that."""
    try:
        found = [[_tag(out, at) for at in entries] for _, _, entries in directories(bytes(out))]
    except (struct.error, KeyError, IndexError, MemoryError, OverflowError):
        return []
    return [{tag.code: tag for tag in entries} for entries in found]


def _tag(out: bytes | bytearray, at: int) -> Tag:
    order, big = byte_order(out), is_big(out)
    code, kind, count = struct.unpack_from(order + ("HHQ" if big else "HHI"), out, at)
    where = at + (12 if big else 8)
    if count * SIZES.get(kind, 1) > (8 if big else 4):
        (where,) = struct.unpack_from(order + ("Q" if big else "I"), out, where)
    return Tag(at, code, kind, count, where)


def values(out: bytes | bytearray, tag: Tag) -> list[int]:
    """Return the whole numbers of a tag."""
    if tag.kind not in LETTERS:
        return []
    return list(
        struct.unpack_from(f"{byte_order(out)}{min(tag.count, 1000)}{LETTERS[tag.kind]}", out, tag.where)
    )


def content(out: bytes | bytearray, tag: Tag) -> bytes:
    """Return the bytes of a tag's values."""
    return bytes(out[tag.where : tag.where + tag.count * SIZES.get(tag.kind, 1)])


def put(out: bytearray, tag: Tag, kind: int, count: int, data: bytes) -> None:
    """Give a tag other values, at the end of the file where they are too long for its entry."""
    order, big = byte_order(out), is_big(out)
    room = 8 if big else 4
    if len(data) > room:
        place = len(out)
        out += data + bytes(len(data) % 2)
        data = struct.pack(order + ("Q" if big else "I"), place)
    struct.pack_into(order + ("HHQ" if big else "HHI"), out, tag.at, tag.code, kind, count)
    where = tag.at + (12 if big else 8)
    out[where : where + room] = data.ljust(room, b"\0")


def put_numbers(out: bytearray, tag: Tag, kind: int, numbers: list[int]) -> None:
    """Give a tag other whole numbers; those that its type cannot hold are cut."""
    letter, bits = LETTERS[kind], 8 * SIZES[kind]
    data = struct.pack(f"{byte_order(out)}{len(numbers)}{letter}", *(n % 2**bits for n in numbers))
    put(out, tag, kind, len(numbers), data)


def remove(out: bytearray, tag: Tag) -> None:
    """Remove a tag from its directory, in place."""
    for begin, end, entries in directories(bytes(out)):
        if tag.at in entries:
            size = entries[1] - entries[0] if len(entries) > 1 else end - entries[0]
            pointer = 8 if is_big(out) else 4
            out[tag.at : end + pointer - size] = out[tag.at + size : end + pointer]
            order, letter = byte_order(out), "Q" if is_big(out) else "H"
            struct.pack_into(order + letter, out, begin, len(entries) - 1)
            return
