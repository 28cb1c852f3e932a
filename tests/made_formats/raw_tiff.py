"""TIFFs with any tags whatever, written without a library: also such as no library writes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Order = Literal["<", ">"]
Samples = npt.NDArray[Any]
MPP = 0.5
GREY, RGB = 1, 2
NONE, DEFLATE = 1, 8
_TEXT, _SHORT, _LONG, _RATIONAL = 2, 3, 4, 5
_FORMATS = {_SHORT: "H", _LONG: "I", _RATIONAL: "II"}
_LONGS = (254, 256, 257, 273, 278, 279, 322, 323, 324, 325, 32997)


@dataclass(frozen=True)
class Image:
    """One directory.

    Attributes:
        pixels: [h, w] or [h, w, samples], of the type that is stored.
        photometric: PhotometricInterpretation.
        compression: Compression; the parts are deflated where it is `DEFLATE`.
        tile: Side of the tiles; None for strips of 16 rows.
        planar: Whether each sample has tiles of its own.
        subfile: NewSubfileType: 1 for reduced images, 4 for masks.
        encode: Makes bytes of a tile or strip; its samples as they lie in memory if None.
        tags: Further tags, or others: numbers or text. A list without numbers leaves the tag out.
    """

    pixels: Samples
    photometric: int = RGB
    compression: int = DEFLATE
    tile: int | None = 64
    planar: bool = False
    subfile: int = 0
    encode: Callable[[Samples], bytes] | None = None
    tags: Mapping[int, Sequence[int] | str] = field(default_factory=dict)

    def parts(self, order: Order) -> list[bytes]:
        """Tiles or strips as they lie in the file."""
        pixels = self.pixels.reshape(*self.pixels.shape[:2], -1)
        if self.tile is None:
            pieces = [pixels[y : y + 16] for y in range(0, len(pixels), 16)]
        elif self.planar:
            planes = np.moveaxis(pixels, -1, 0)
            pieces = [piece for plane in planes for piece in _tiles(plane[..., None], self.tile)]
        else:
            pieces = _tiles(pixels, self.tile)
        encode = self.encode or (lambda piece: piece.astype(piece.dtype.newbyteorder(order)).tobytes())
        parts = [encode(piece) for piece in pieces]
        return [zlib.compress(part) for part in parts] if self.compression == DEFLATE else parts

    def numbers(self) -> dict[int, Sequence[int] | str]:
        """Tags, without the places of the parts."""
        height, width = self.pixels.shape[:2]
        samples = self.pixels.size // (height * width)
        per_cm = (int(1e4 / MPP), 1)
        tags: dict[int, Sequence[int] | str] = {
            254: [self.subfile], 256: [width], 257: [height], 258: [self.pixels.dtype.itemsize * 8] * samples,
            259: [self.compression], 262: [self.photometric], 277: [samples], 282: per_cm, 283: per_cm,
            284: [1 + self.planar], 296: [3],
        }  # fmt: skip
        tags |= {278: [16]} if self.tile is None else {322: [self.tile], 323: [self.tile]}
        return tags | dict(self.tags)


def write_images(path: Path, images: Sequence[Image], *, big: bool = False, order: Order = "<") -> Path:
    """Write images as the directories of a TIFF.

    Args:
        path: The file.
        images: Its images, in order.
        big: Whether it is a BigTIFF.
        order: Byte order of its numbers.
    """
    word = "Q" if big else "I"
    out = bytearray(b"II" if order == "<" else b"MM")
    out += struct.pack(order + "HHH", 43, 8, 0) if big else struct.pack(order + "H", 42)
    link = len(out)
    out += struct.pack(order + word, 0)
    for image in images:
        places = []
        for part in image.parts(order):
            places.append((len(out), len(part)))
            out += part + bytes(len(part) % 2)
        offsets, lengths = (273, 279) if image.tile is None else (324, 325)
        tags = image.numbers()
        tags |= {offsets: [at for at, _ in places], lengths: [size for _, size in places]}
        entries = b"".join(_entry(out, code, tags[code], order, word) for code in sorted(tags) if tags[code])
        struct.pack_into(order + word, out, link, len(out))
        count = len(entries) // (20 if big else 12)
        out += struct.pack(order + ("Q" if big else "H"), count) + entries
        link = len(out)
        out += struct.pack(order + word, 0)
    path.write_bytes(out)
    return path


def _entry(out: bytearray, code: int, values: Sequence[int] | str, order: str, word: str) -> bytes:
    """Return the entry of a directory; values that have no room in it are added to the file."""
    if isinstance(values, str):
        kind, data = _TEXT, values.encode() + b"\0"
        count = len(data)
    else:
        kind = _RATIONAL if code in (282, 283) else _LONG if code in _LONGS else _SHORT
        data = struct.pack(f"{order}{len(values)}{_FORMATS[kind][0]}", *values)
        count = len(values) // len(_FORMATS[kind])
    room = struct.calcsize(word)
    if len(data) > room:
        out += bytes(len(out) % 2)
        place = len(out)
        out += data + bytes(len(data) % 2)
        data = struct.pack(order + word, place)
    return struct.pack(f"{order}HH{word}", code, kind, count) + data.ljust(room, b"\0")


def _tiles(pixels: Samples, side: int) -> list[Samples]:
    h, w = pixels.shape[:2]
    padded = np.pad(pixels, ((0, -h % side), (0, -w % side), (0, 0)), mode="edge")
    return [padded[y : y + side, x : x + side] for y in range(0, h, side) for x in range(0, w, side)]
