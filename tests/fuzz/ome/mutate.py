"""Mutations of OME-TIFF: of the XML in its description, of levels and of their tags."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from xml.etree.ElementTree import Element

from tests.fuzz import markup
from tests.fuzz.case import Case, Files, Truth, pick_steps
from tests.fuzz.markup import TextMutation
from tests.fuzz.tiff.mutate import MUTATIONS as BYTES
from tests.fuzz.tiff.tags import Tag, byte_order, content, put, put_numbers, remove, tags, values
from tests.fuzz.values import BORDERS, FRACTIONS, ROUND, UNITS, WHOLE

SUBFILE_TYPE, WIDTH, LENGTH, DESCRIPTION, UNIT, SUB_IFDS = 254, 256, 257, 270, 296, 330
RESOLUTIONS = (282, 283)
# Without them nothing is said about the pixels that was known before.
REMOVABLE = (SUBFILE_TYPE, DESCRIPTION, *RESOLUTIONS, UNIT, SUB_IFDS, 305)
COUNTS = (
    "SizeX",
    "SizeY",
    "SizeC",
    "SizeZ",
    "SizeT",
    "IFD",
    "PlaneCount",
    "FirstC",
    "FirstZ",
    "SamplesPerPixel",
)
LENGTHS = ("PhysicalSizeX", "PhysicalSizeY")
Mutation = Callable[[bytearray, random.Random], None]


def mutated(name: str, files: Files, rng: random.Random) -> Case:
    """Mutate what a slide says of its pixels, or anything."""
    ((file, original),) = files.items()
    out, any_bytes = bytearray(original), rng.random() < 0.15
    chosen = pick_steps(rng, (*METADATA, *BYTES) if any_bytes else METADATA)
    for mutate in chosen:
        if len(out) >= 16:
            mutate(out, rng)
    truth: Truth = "nothing" if any_bytes else "content"
    if name.startswith("planes") and not _says_ome(out):
        truth = "nothing"  # nothing says any more that its first image is no more than red
    if truth == "content" and name.startswith("both") and len(chosen) == 1:
        truth = "all"  # of two facts about the resolution one is as it was
    return Case({file: bytes(out)}, tuple(mutate.__name__ for mutate in chosen), truth)


def _says_ome(out: bytearray) -> bool:
    text = _description(out)
    root = markup.parsed(content(out, text).rstrip(b"\0")) if text else None
    return root is not None and root.tag.endswith("OME")


def _description(out: bytearray) -> Tag | None:
    found = tags(out)
    return found[0].get(DESCRIPTION) if found else None


def in_description(mutate: TextMutation) -> Mutation:
    """Return a mutation of XML as one of the file."""

    def change(out: bytearray, rng: random.Random) -> None:
        tag = _description(out)
        if tag is not None:
            text = mutate(content(out, tag).rstrip(b"\0"), rng) + rng.choice((b"\0", b"\0", b"\0", b""))
            put(out, tag, tag.kind, len(text), text)

    change.__name__ = mutate.__name__
    return change


def change_count(root: Element, rng: random.Random) -> None:
    """Change how many pixels, planes or samples there are."""
    found = [(node, name) for node in root.iter() for name in COUNTS if name in node.attrib]
    if found:
        node, name = rng.choice(found)
        node.set(name, rng.choice(WHOLE))


def change_length(root: Element, rng: random.Random) -> None:
    """Change the size of a pixel, or its unit."""
    pixels = root.findall(".//{*}Pixels")
    if pixels:
        name = rng.choice(LENGTHS)
        unit = rng.random() < 0.5
        rng.choice(pixels).set(name + "Unit" * unit, rng.choice(UNITS if unit else FRACTIONS))


def change_levels(out: bytearray, rng: random.Random) -> None:
    """Change which directories are levels in SubIFDs: their order, number, offsets."""
    found = [d[SUB_IFDS] for d in tags(out) if SUB_IFDS in d]
    if not found:
        return
    tag = rng.choice(found)
    offsets = values(out, tag)
    way = rng.randrange(6)
    if way == 0:
        rng.shuffle(offsets)
    elif way == 1:
        offsets = [*offsets, rng.choice([*offsets, 8, 16])] * rng.choice((1, 1, 20))
    elif way == 2:
        offsets = offsets[: rng.randrange(len(offsets) + 1)]
    elif offsets:
        other = rng.choice((*_offsets(out), len(out) - 4, *ROUND, *BORDERS))
        offsets[rng.randrange(len(offsets))] = other
    put_numbers(out, tag, rng.choice((tag.kind, tag.kind, 4, 13, 16, 18, 3)), offsets)


def _offsets(out: bytearray) -> list[int]:
    big = bytes(out[2:4]) in (b"+\0", b"\0+")
    return [struct.unpack_from(byte_order(out) + ("Q" if big else "I"), out, 8 if big else 4)[0]]


def change_level_size(out: bytearray, rng: random.Random) -> None:
    """Change the size of a level, a little or much, or give it that of another."""
    found = [d for d in tags(out) if WIDTH in d and LENGTH in d]
    if not found:
        return
    chosen = rng.choice(found)
    tag = chosen[rng.choice((WIDTH, LENGTH))]
    now = (values(out, tag) or [0])[0]
    other = (values(out, rng.choice(found)[tag.code]) or [0])[0]
    near = (now + 1, now - 1, now + 40, now - 40, now // 2, now * 2)
    put_numbers(out, tag, 4, [max(0, rng.choice((*near, *near, other, *ROUND)))])


def change_resolution(out: bytearray, rng: random.Random) -> None:
    """Change a resolution tag: a fraction, or the unit."""
    found = [d[code] for d in tags(out) for code in (*RESOLUTIONS, UNIT) if code in d]
    if not found:
        return
    tag = rng.choice(found)
    if tag.code == UNIT:
        put_numbers(out, tag, 3, [rng.choice((0, 1, 2, 3, 4, 65535))])
    else:
        pair = rng.choice(
            ((0, 1), (1, 0), (0, 0), (72, 1), (1, 1), (40_000, 1), (2**32 - 1, 1), (1, 2**32 - 1))
        )
        put(out, tag, 5, 1, struct.pack(byte_order(out) + "II", *pair))


def change_subfile(out: bytearray, rng: random.Random) -> None:
    """Change whether a directory says that it is a reduced image, a page or a mask."""
    found = [d[SUBFILE_TYPE] for d in tags(out) if SUBFILE_TYPE in d]
    if found:
        put_numbers(out, rng.choice(found), 4, [rng.choice((0, 1, 2, 4, 3, 9, 2**31))])


def remove_tag(out: bytearray, rng: random.Random) -> None:
    """Remove a tag without which the pixels can still be read."""
    found = [d[code] for d in tags(out) for code in REMOVABLE if code in d]
    if found:
        remove(out, rng.choice(found))


XML = tuple(
    in_description(mutate)
    for mutate in (
        markup.on_tree(change_count), markup.on_tree(change_count), markup.on_tree(change_length),
        markup.on_tree(change_length), *markup.TREE, *markup.TEXT, markup.prefix_names,
    )
)  # fmt: skip
LEVELS: tuple[Mutation, ...] = (
    change_levels, change_level_size, change_resolution, change_subfile, remove_tag,
)  # fmt: skip
METADATA = (*XML, *LEVELS, *LEVELS)
