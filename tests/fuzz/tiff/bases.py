"""Small TIFF slides to be mutated: of every kind that the TIFF reader takes, and some that it leaves."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from tests.fuzz.case import Files
from tests.made_formats.jpeg_tiles import Kind, write_jpeg_slide
from tests.made_formats.tiffs import (
    write_aperio,
    write_generic,
    write_huron,
    write_leica,
    write_philips,
    write_trestle,
)
from tests.made_slides import UInt8Array, he_pixels

PIXELS = he_pixels(90, 130, seed=4)
EVEN = he_pixels(256, 256, seed=4)

BASES: dict[str, Callable[[Path], Path]] = {
    "aperio": lambda p: write_jpeg_slide(
        p, PIXELS, Kind("rgb", "422", tables=True), tile=32, factors=(1, 2), aperio=True
    ),
    "aperio, marks": lambda p: write_jpeg_slide(
        p, PIXELS, Kind("ycbcr", "420", "lie"), tile=48, factors=(1, 4), aperio=True
    ),
    "aperio, missing": lambda p: write_jpeg_slide(
        p, PIXELS, tile=32, factors=(1, 2), aperio=True, missing={0: [1, 5]}
    ),
    "generic": lambda p: write_jpeg_slide(p, PIXELS, Kind("ycbcr", "420", "jfif"), tile=32),
    "generic, flat": lambda p: write_jpeg_slide(p, PIXELS, Kind("rgb", "444"), tile=64, factors=(1,)),
    "ome": lambda p: write_jpeg_slide(p, PIXELS, tile=32, subifds=True),
    "big": lambda p: write_jpeg_slide(p, PIXELS, Kind(tables=True), tile=32, bigtiff=True, factors=(1, 2)),
    "big endian": lambda p: write_jpeg_slide(p, PIXELS, tile=32, bigtiff=True, byteorder=">", subifds=True),
    # left to OpenSlide
    "aperio, jpeg 2000": lambda p: write_aperio(p, PIXELS, "jpeg 2000 RGB"),
    "deflate": lambda p: write_generic(p, PIXELS, "deflate"),
    "philips": lambda p: write_philips(p, _small(PIXELS), factors=(1, 2)),
    "leica": lambda p: write_leica(p, EVEN, offset=(0, 0), slide=(300, 280)),
    "trestle": lambda p: write_trestle(p, PIXELS),
    "huron": lambda p: write_huron(p, PIXELS),
}


def _small(pixels: UInt8Array) -> UInt8Array:
    return np.asarray(cv2.blur(pixels, (9, 9)), np.uint8)


def base_files(folder: Path, real: Path | None = None) -> dict[str, Files]:
    """Write every base, and return their contents, also that of a real slide where one is given."""
    files = {}
    for name, write in BASES.items():
        path = folder / "slide.tif"
        files[name] = {path.name: write(path).read_bytes()}
        path.unlink()
    if real is not None:
        files["real"] = {"slide.tif": real.read_bytes()}
    return files


def directories(content: bytes) -> list[tuple[int, int, list[int]]]:
    """Return the directories of a TIFF; some of them where the file is mutated already.

    Returns:
        Of each, where it begins, where the offset of the next one is, and where its entries are.
    """
    order = "<" if content[:2] == b"II" else ">"
    big = content[2:4] in (b"+\0", b"\0+")
    number, pointer, size = ("Q", "Q", 20) if big else ("H", "I", 12)
    (offset,) = struct.unpack_from(order + pointer, content, 8 if big else 4)
    found: list[tuple[int, int, list[int]]] = []
    waiting = [offset]
    while waiting and len(found) < 20:
        offset = waiting.pop()
        if offset in (begin for begin, _, _ in found):
            continue
        (count,) = struct.unpack_from(order + number, content, offset)
        start = offset + struct.calcsize(order + number)
        entries = [start + i * size for i in range(min(count, 50))]
        end = start + count * size
        found.append((offset, end, entries))
        for at in entries:
            waiting += _sub_ifds(content, at, order, big)
        (following,) = struct.unpack_from(order + pointer, content, end)
        waiting += [following] if following else []
    return found


def _sub_ifds(content: bytes, at: int, order: str, big: bool) -> list[int]:
    code, kind, count = struct.unpack_from(order + ("HHQ" if big else "HHI"), content, at)
    if code != 330:
        return []
    one, value = {13: ("I", 4), 4: ("I", 4), 16: ("Q", 8), 18: ("Q", 8)}[kind]
    where = at + (12 if big else 8)
    if count * value > (8 if big else 4):
        (where,) = struct.unpack_from(order + ("Q" if big else "I"), content, where)
    return list(struct.unpack_from(f"{order}{min(count, 20)}{one}", content, where))
