"""Zeiss CZI: segments, each with a name and two sizes. https://openslide.org/formats/zeiss/."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
from numcodecs import Zstd

from tests.made_formats.pixels import UInt8Array, shrunk

MPP = 0.5
BGR24, BGR48 = 3, 4
GRAY8, GRAY16 = 0, 1
COMPRESSION = {"none": 0, "jpeg xr": 4, "zstd0": 5, "zstd1": 6}
Compression = Literal["none", "jpeg xr", "zstd0", "zstd1"]
# A lossless JPEG XR of `jpeg_xr_tile()`, by jxrlib: there is no encoder for it here.
JPEG_XR = base64.b64decode(
    "SUm8ASAAAAAkw91vA07+S7GFPXd2jckNAAAAAAAAAAAIAAG8AQAQAAAACAAAAAK8BAABAAAAAAAAAIC8BAABAAAAAAEAAIG8"
    "BAABAAAAAAEAAIK8CwABAAAAAADAQoO8CwABAAAAAADAQsC8BAABAAAAhgAAAMG8BAABAAAATAEAAAAAAABXTVBIT1RPABEA"
    "wHEA/wD/YADAAAAMAAAAwAAAAAAEb/8AAQAAAQBMgAC0AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAI5IAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAGAAAAAAAAAAAAAAAAAAAYAAAAAAAAAABahBgQh4FgAAAwAADAABAEKAEvwAwABgAGACwgZCf8hT/DABgGDMzMzMz"
    "MzMzMzMzMzMzMzMzMzMzMzMzMywkeCv/Bb/7MyQt/5mZYT/ws/8K/+zMsJ/wWf8Ff/ZmZmZmZmZmZmZmZmZmZmZmZmZmZmZm"
    "ZmZmcKk8zMsJ/4U/wV/9mZIW/8zMsJ/4Wf+Ff/ZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmQBSvhb/7MyAKf4K/8zMsJ/4U"
    "/wV/9mZIW/8zMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMg=="
)


def write_czi(
    path: Path,
    pixels: UInt8Array,
    compression: Compression = "zstd1",
    *,
    origin: tuple[int, int] = (-70, 33),
    stack: bool = False,
    kind: int = BGR24,
    scenes: Sequence[tuple[UInt8Array, tuple[int, int]]] = (),
) -> Path:
    """Write a CZI with downsamples 1 and 2.

    Args:
        path: Where to.
        pixels: Level 0; sides are multiples of 2.
        compression: Of the subblocks; with `jpeg xr`, those of level 0 hold `jpeg_xr_tile()` whatever the
            pixels are, and those of level 1 are stored as zstd.
        origin: Where the scanner's coordinates begin: they need not begin at 0.
        stack: With a Z dimension, as microscopes write it.
        kind: What the file says of its pixels; only those of BGR24 are stored so.
        scenes: Further scenes: pixels, and where they begin in the scanner's coordinates.
    """
    content = bytearray(_segment("ZISRAWFILE", bytes(512)))
    entries: list[bytes] = []
    side = 256
    everything = [(pixels, origin), *scenes]
    for scene, factor in product(range(len(everything)), (1, 2)):
        first, start = everything[scene]
        level = shrunk(first, factor)
        for y, x in product(range(0, level.shape[0], side), range(0, level.shape[1], side)):
            tile = level[y : y + side, x : x + side]
            place = (start[0] + x * factor, start[1] + y * factor)
            more = [(b"Z", 0, 1, 1)] if stack else []
            more += [(b"S", scene, 1, 1)] if scenes else []
            number = len(entries)
            packed = "zstd1" if compression == "jpeg xr" and factor > 1 else compression
            entry = _entry(len(content), place, tile.shape[1::-1], factor, number, packed, more, kind)
            entries.append(entry)
            content += _subblock(entry, tile, packed)
    directory = len(content)
    content += _segment("ZISRAWDIRECTORY", struct.pack("<i", len(entries)) + bytes(124) + b"".join(entries))
    metadata = len(content)
    xml = _xml(everything).encode()
    content += _segment("ZISRAWMETADATA", struct.pack("<ii", len(xml), 0) + bytes(248) + xml)
    attachments = len(content)
    content += _segment("ZISRAWATTDIR", bytes(256))
    guid = bytes(range(16))
    head = (
        struct.pack("<iiii", 1, 0, 0, 0)
        + guid
        + guid
        + struct.pack("<iqqiq", 0, directory, metadata, 0, attachments)
    )
    content[32 : 32 + len(head)] = head
    path.write_bytes(content)
    return path


def jpeg_xr_tile() -> UInt8Array:
    """Return the pixels of `JPEG_XR`: 16 squares of one colour each, uint8 [256, 256, 3]."""
    row, column, channel = np.ogrid[:4, :4, :3]
    colours = (100 + (37 * row + 91 * column + 53 * channel) % 128).astype(np.uint8)
    return np.repeat(np.repeat(colours, 64, 0), 64, 1)


def _segment(name: str, body: bytes) -> bytes:
    return struct.pack("<16sqq", name.encode(), len(body), len(body)) + body


def _entry(
    at: int,
    place: tuple[int, int],
    size: tuple[int, ...],
    factor: int,
    number: int,
    compression: str,
    more: list[tuple[bytes, int, int, int]],
    kind: int,
) -> bytes:
    dimensions = [
        (b"X", place[0], size[0] * factor, size[0]),
        (b"Y", place[1], size[1] * factor, size[1]),
        (b"C", 0, 1, 1),
        (b"M", number, 1, 1),
        *more,
    ]
    head = struct.pack(
        "<2siqiiB5xi", b"DV", kind, at, 0, COMPRESSION[compression], int(factor > 1), len(dimensions)
    )
    return head + b"".join(struct.pack("<4siifi", n, start, n0, 0.0, n1) for n, start, n0, n1 in dimensions)


def _subblock(entry: bytes, tile: UInt8Array, compression: str) -> bytes:
    data = JPEG_XR if compression == "jpeg xr" else np.ascontiguousarray(tile[..., ::-1]).tobytes()
    if compression.startswith("zstd"):
        data = bytes(Zstd(level=3).encode(data))
    if compression == "zstd1":
        data = b"\x01" + data  # a header of one byte: no options
    fixed = struct.pack("<iiq", 0, 0, len(data)) + entry
    return _segment("ZISRAWSUBBLOCK", fixed + bytes(256 - len(fixed)) + data)


def _xml(scenes: Sequence[tuple[UInt8Array, tuple[int, int]]]) -> str:
    ends = [(x, y, x + pixels.shape[1], y + pixels.shape[0]) for pixels, (x, y) in scenes]
    left, top, right, bottom = zip(*ends, strict=True)
    w, h = max(right) - min(left), max(bottom) - min(top)
    meters = MPP / 1e6
    return (
        "<ImageDocument><Metadata><Information><Image>"
        f"<SizeX>{w}</SizeX><SizeY>{h}</SizeY><SizeC>1</SizeC><SizeS>{len(scenes)}</SizeS><PixelType>Bgr24</PixelType>"
        '<ObjectiveSettings><ObjectiveRef Id="Objective:1"/></ObjectiveSettings></Image>'
        '<Instrument><Objectives><Objective Id="Objective:1"><NominalMagnification>20</NominalMagnification>'
        "</Objective></Objectives></Instrument></Information><Scaling><Items>"
        f'<Distance Id="X"><Value>{meters}</Value></Distance>'
        f'<Distance Id="Y"><Value>{meters}</Value></Distance>'
        "</Items></Scaling></Metadata></ImageDocument>"
    )
