"""Files that lie about themselves: mutations that know what a TIFF and a JPEG are, and some that do not."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

from tests.fuzz.bases import directories

ROUND = (0, 1, 2, 3, 7, 8, 15, 16, 31, 63, 255, 256, 4095, 4096, 65535, 65536, 10**6, 2**24)
BORDERS = (2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1, 2**48, 2**63 - 1, 2**63, 2**64 - 1)
TAGS = (
    254,
    256,
    257,
    258,
    259,
    262,
    266,
    270,
    274,
    277,
    282,
    284,
    322,
    323,
    324,
    325,
    330,
    338,
    339,
    347,
    530,
    34675,
    65420,
)
MARKERS = (
    0xC0,
    0xC1,
    0xC2,
    0xC4,
    0xC9,
    0xCC,
    0xD0,
    0xD8,
    0xD9,
    0xDA,
    0xDB,
    0xDC,
    0xDD,
    0xE0,
    0xEE,
    0xFE,
    0xFF,
)

Mutation = Callable[[bytearray, random.Random], None]


def mutated(content: bytes, rng: random.Random) -> bytes:
    """The content after one to four mutations."""
    out = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        if len(out) < 16:
            break
        rng.choice(MUTATIONS)(out, rng)
    return bytes(out)


def _put(out: bytearray, at: int, kind: str, value: int) -> None:
    size = struct.calcsize(kind)
    if 0 <= at <= len(out) - size:
        order = "<" if out[:1] == b"I" else ">"
        struct.pack_into(order + kind, out, at, value % 2 ** (8 * size))


def _number(out: bytearray, rng: random.Random) -> int:
    """A number that hurts: round, at a border, near the file's size, a place in the file, or a small one."""
    near = len(out) + rng.randint(-20, 20)
    return rng.choice(
        (
            rng.choice(ROUND),
            rng.choice(ROUND),
            rng.choice(BORDERS),
            near,
            rng.randrange(len(out)),
            rng.randrange(600),
        )
    )


def _directories(out: bytearray) -> list[tuple[int, int, list[int]]]:
    try:
        return directories(bytes(out))
    except (struct.error, KeyError, IndexError, MemoryError, OverflowError):
        return []  # mutated before


def _big(out: bytearray) -> bool:
    return bytes(out[2:4]) in (b"+\0", b"\0+")


def flip_bytes(out: bytearray, rng: random.Random) -> None:
    """Anywhere."""
    for _ in range(rng.choice((1, 1, 2, 5, 20, 200))):
        out[rng.randrange(len(out))] = rng.randrange(256)


def flip_head(out: bytearray, rng: random.Random) -> None:
    """Of the file."""
    out[rng.randrange(16)] = rng.choice((rng.randrange(256), 0, 255))


def change_entry(out: bytearray, rng: random.Random) -> None:
    """Code, type, number or value of a tag."""
    found = _directories(out)
    if not found:
        return
    at = rng.choice(rng.choice(found)[2] or [8])
    big = _big(out)
    field = rng.randrange(5)
    if field == 0:
        _put(out, at, "H", rng.choice(TAGS))
    elif field == 1:
        _put(out, at + 2, "H", rng.choice((0, 1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 16, 17, 18, 99)))
    elif field == 2:
        _put(out, at + 4, "Q" if big else "I", _number(out, rng))
    else:
        _put(
            out,
            at + (12 if big else 8),
            rng.choice(("Q", "I", "H") if big else ("I", "I", "H")),
            _number(out, rng),
        )


def change_size(out: bytearray, rng: random.Random) -> None:
    """Of image or tiles, in one or all directories."""
    code, value = rng.choice((256, 257, 322, 323)), _number(out, rng)
    order, big = "<" if out[:1] == b"I" else ">", _big(out)
    chosen = _directories(out)
    for _, _, entries in chosen if rng.random() < 0.3 else chosen[: rng.randint(1, 3)]:
        for at in entries:
            if struct.unpack_from(order + "H", out, at)[0] == code:
                _put(out, at + 2, "H", 4)
                _put(out, at + (12 if big else 8), "I", value)


def change_places(out: bytearray, rng: random.Random) -> None:
    """Offsets and sizes of tiles: wrong, swapped, the same for all."""
    order, big = "<" if out[:1] == b"I" else ">", _big(out)
    wanted, way = rng.choice(((324,), (325,), (324, 325))), rng.randrange(4)
    for _, _, entries in _directories(out):
        for at in entries:
            code, kind, count = struct.unpack_from(order + ("HHQ" if big else "HHI"), out, at)
            size = {3: 2, 4: 4, 16: 8}.get(kind, 0)
            if code not in wanted or not size or not 0 < count < 10_000 or rng.random() < 0.3:
                continue
            where = at + (12 if big else 8)
            if count * size > (8 if big else 4):
                where = struct.unpack_from(order + ("Q" if big else "I"), out, where)[0]
            letter = {2: "H", 4: "I", 8: "Q"}[size]
            places = [where + i * size for i in range(count) if where + (i + 1) * size <= len(out)]
            if not places:
                continue
            if way == 0:
                _put(out, rng.choice(places), letter, _number(out, rng))
            elif way == 1:
                value = _number(out, rng)
                for place in places:
                    _put(out, place, letter, value)
            else:
                a, b = rng.choice(places), rng.choice(places)
                out[a : a + size], out[b : b + size] = out[b : b + size], out[a : a + size]


def change_chain(out: bytearray, rng: random.Random) -> None:
    """Which directory comes next, or how many tags one has."""
    found = _directories(out)
    if not found:
        return
    offset, end, _ = rng.choice(found)
    letter = "Q" if _big(out) else "I"
    if rng.random() < 0.3:
        _put(out, offset, "Q" if _big(out) else "H", _number(out, rng))
    else:
        _put(out, end, letter, rng.choice((rng.choice(found)[0], offset, _number(out, rng))))


def truncate(out: bytearray, rng: random.Random) -> None:
    """As a copy that was interrupted."""
    del out[rng.randrange(len(out)) :]


def blank(out: bytearray, rng: random.Random) -> None:
    """As a disk that lost blocks, or has blocks of another place."""
    size = rng.choice((16, 64, 512, 4096))
    at, other = rng.randrange(len(out)), rng.randrange(len(out))
    size = min(size, len(out) - max(at, other))
    out[at : at + size] = bytes(size) if rng.random() < 0.5 else out[other : other + size]


def change_jpeg(out: bytearray, rng: random.Random) -> None:
    """Head of a JPEG: its frame, a marker, a length."""
    starts: list[int] = []
    at = out.find(b"\xff\xd8\xff")
    while at >= 0 and len(starts) < 200:
        starts.append(at)
        at = out.find(b"\xff\xd8\xff", at + 2)
    if not starts:
        return
    at = rng.choice(starts) + 2
    for _ in range(rng.randrange(8)):
        if at + 4 > len(out) or out[at] != 0xFF:
            break
        following = at + 2 + int.from_bytes(out[at + 2 : at + 4], "big")
        if out[at + 1] in (0xC0, 0xC1) and rng.random() < 0.6:
            break
        at = following
    if at + 12 > len(out):
        return
    way = rng.randrange(5)
    if way == 0:
        out[at + 1] = rng.choice(MARKERS)
    elif way == 1:
        out[at + 2 : at + 4] = rng.choice((0, 1, 2, 3, 8, 65535, rng.randrange(300))).to_bytes(2, "big")
    elif way == 2:
        size = rng.choice((0, 1, 16, 255, 4096, 65500, 65535))
        out[at + 5 : at + 9] = size.to_bytes(2, "big") + rng.choice((size, 32, 65535)).to_bytes(2, "big")
    elif way == 3:
        out[at + rng.randrange(2, 24) % (len(out) - at)] = rng.randrange(256)
    else:
        scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"
        out[at:at] = bytes([0xFF, rng.choice(MARKERS)]) + scan[2:] * rng.choice((1, 1, 100))


MUTATIONS: tuple[Mutation, ...] = (
    flip_bytes, flip_head, change_entry, change_entry, change_entry, change_size, change_size, change_places,
    change_places, change_chain, truncate, blank, change_jpeg, change_jpeg,
)  # fmt: skip
