"""Mutations of TIFF files: directories, tags, tiles, and the bytes in general."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

from tests.fuzz.case import Case, Files, pick_steps
from tests.fuzz.raw import blank, change_jpeg, flip_bytes, flip_head, truncate
from tests.fuzz.tiff.bases import directories
from tests.fuzz.values import BORDERS, ROUND

TAGS = (
    254, 256, 257, 258, 259, 262, 266, 270, 274, 277, 282, 284, 322, 323, 324, 325, 330, 338, 339, 347, 530,
    34675, 65420,
)  # fmt: skip

Mutation = Callable[[bytearray, random.Random], None]


def mutated(name: str, files: Files, rng: random.Random) -> Case:
    """Apply one to four mutations to a slide of one file."""
    ((file, content),) = files.items()
    out, steps = bytearray(content), []
    for mutate in pick_steps(rng, MUTATIONS):
        if len(out) < 16:
            break
        mutate(out, rng)
        steps.append(mutate.__name__)
    return Case({file: bytes(out)}, tuple(steps))


def _put(out: bytearray, at: int, kind: str, value: int) -> None:
    size = struct.calcsize(kind)
    if 0 <= at <= len(out) - size:
        order = "<" if out[:1] == b"I" else ">"
        struct.pack_into(order + kind, out, at, value % 2 ** (8 * size))


def _number(out: bytearray, rng: random.Random) -> int:
    """Return a number that hurts: round, at a border, near the file's size, an offset, or a small one."""
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


def change_entry(out: bytearray, rng: random.Random) -> None:
    """Change the code, type, number of values or value of a tag."""
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
    """Change the size of images or tiles, in one or all directories."""
    code, value = rng.choice((256, 257, 322, 323)), _number(out, rng)
    order, big = "<" if out[:1] == b"I" else ">", _big(out)
    chosen = _directories(out)
    for _, _, entries in chosen if rng.random() < 0.3 else chosen[: rng.randint(1, 3)]:
        for at in entries:
            if struct.unpack_from(order + "H", out, at)[0] == code:
                _put(out, at + 2, "H", 4)
                _put(out, at + (12 if big else 8), "I", value)


def change_places(out: bytearray, rng: random.Random) -> None:
    """Make offsets and sizes of tiles wrong, swap them, or make all the same."""
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
    """Change which directory comes next, or how many tags one has."""
    found = _directories(out)
    if not found:
        return
    offset, end, _ = rng.choice(found)
    letter = "Q" if _big(out) else "I"
    if rng.random() < 0.3:
        _put(out, offset, "Q" if _big(out) else "H", _number(out, rng))
    else:
        _put(out, end, letter, rng.choice((rng.choice(found)[0], offset, _number(out, rng))))


MUTATIONS: tuple[Mutation, ...] = (
    flip_bytes, flip_head, change_entry, change_entry, change_entry, change_size, change_size, change_places,
    change_places, change_chain, truncate, blank, change_jpeg, change_jpeg,
)  # fmt: skip
