"""TIFF slides of JPEG tiles in every manner in which scanners and converters store them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import simplejpeg
import tifffile

from tests.made_formats.pixels import UInt8Array, shrunk, tiles

JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
APERIO = "Aperio Image Library v11.2.1 \r\n{w}x{h} ({tile}x{tile}) JPEG|AppMag = 20|MPP = 0.5000"
SAMPLING = {"444": (1, 1), "422": (2, 1), "420": (2, 2), "440": (1, 2), "411": (4, 1)}
JPEG_TABLES, YCBCR_SUBSAMPLING = 347, 530
DQT, DHT, SOS = 0xDB, 0xC4, 0xDA


@dataclass(frozen=True)
class Kind:
    """How tiles are stored.

    Attributes:
        photometric: What the TIFF says they hold, and they do.
        sampling: Of the second and third channel.
        marks: What the JPEG says: `jfif` (YCbCr), `adobe` (the truth), `lie` (Adobe, the other colours),
            `both` (JFIF, and Adobe with the truth), or `none`.
        tables: Whether tiles share their tables, in the TIFF.
    """

    photometric: Literal["rgb", "ycbcr"] = "ycbcr"
    sampling: str = "420"
    marks: Literal["jfif", "adobe", "lie", "both", "none"] = "none"
    tables: bool = False

    @property
    def label(self) -> str:
        """For the names of tests."""
        return f"{self.photometric} {self.sampling} {self.marks}{' tables' * self.tables}"


def encode(tile: UInt8Array, kind: Kind, quality: int = 85) -> bytes:
    """A JPEG of a tile, whole."""
    if kind.photometric == "ycbcr":
        data = simplejpeg.encode_jpeg(np.ascontiguousarray(tile), quality, "RGB", kind.sampling)
    else:  # the encoder takes red for luma, and so on
        across, down = SAMPLING[kind.sampling]
        red, green, blue = (np.ascontiguousarray(tile[..., i]) for i in range(3))
        green, blue = (np.ascontiguousarray(c[::down, ::across]) for c in (green, blue))
        data = simplejpeg.encode_jpeg_yuv_planes(red, green, blue, quality)
    transform = (kind.photometric == "ycbcr") != (kind.marks == "lie")
    marks = JFIF if kind.marks in ("jfif", "both") else b""
    if kind.marks in ("adobe", "lie", "both"):
        marks += b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform])
    head = [data[at:end] for marker, at, end in segments(data) if marker not in (0xE0, 0xEE)]
    scan = data[next(end for marker, _, end in segments(data) if marker == SOS) :]
    return b"".join((data[:2], marks, *head, scan))


def segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment of a JPEG, until the scan."""
    at, marker = 2, 0
    while marker != SOS:
        marker, end = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        yield marker, at, end
        at = end


def without_tables(data: bytes) -> tuple[bytes, bytes]:
    """A JPEG's tables as one of their own, and what is left of it."""
    found = [(marker in (DQT, DHT), data[at:end]) for marker, at, end in segments(data)]
    scan = data[next(end for marker, _, end in segments(data) if marker == SOS) :]
    tables = b"".join(part for table, part in found if table)
    rest = b"".join(part for table, part in found if not table)
    return data[:2] + tables + b"\xff\xd9", data[:2] + rest + scan


def write_jpeg_slide(
    path: Path,
    pixels: UInt8Array,
    kind: Kind = Kind(),
    *,
    tile: int = 256,
    factors: Sequence[int] = (1, 2, 4),
    missing: Mapping[int, Sequence[int]] | None = None,
    aperio: bool = False,
    subifds: bool = False,
    bigtiff: bool = False,
    byteorder: Literal["<", ">"] = "<",
    mpp: float | None = 0.5,
    description: bytes | None = None,
    quality: int = 85,
) -> Path:
    """Write a pyramid.

    Args:
        path: Where to.
        pixels: Level 0.
        kind: How tiles are stored.
        tile: Their side.
        factors: Downsample of each level; sizes that do not divide are cut.
        missing: Numbers of the tiles that a level leaves out, by level.
        aperio: An Aperio SVS; else a TIFF of no vendor.
        subifds: Put the levels into SubIFDs of the first, where OpenSlide does not see them.
        bigtiff: With offsets of 64 bits.
        byteorder: Of the TIFF's numbers.
        mpp: In the resolution tags of a TIFF of no vendor; None leaves them out.
        description: ImageDescription of level 0 of a TIFF of no vendor.
        quality: Of the JPEGs.
    """
    with tifffile.TiffWriter(path, bigtiff=bigtiff, byteorder=byteorder) as tif:
        for number, factor in enumerate(factors):
            level = shrunk(pixels, factor)
            left_out = set((missing or {}).get(number, ()))
            parts = [encode(t, kind, quality) for t in tiles(level, tile)]
            options: dict[str, Any] = {"metadata": None, "photometric": "rgb", "compression": "zlib"}
            options |= {"tile": (tile, tile), "software": False, "subfiletype": int(number > 0)}
            options["extratags"] = [(YCBCR_SUBSAMPLING, "H", 2, SAMPLING[kind.sampling], True)]
            if kind.tables:
                tables = without_tables(parts[0])[0]
                options["extratags"].append((JPEG_TABLES, 7, len(tables), tables, True))
                parts = [without_tables(part)[1] for part in parts]
            if number == 0 and aperio:
                h, w = pixels.shape[:2]
                options["description"] = APERIO.format(w=w, h=h, tile=tile)
            elif mpp is not None:
                options |= {"resolution": (1e4 / mpp / factor,) * 2, "resolutionunit": "CENTIMETER"}
            if number == 0 and description is not None:
                options["description"] = description
            if number == 0 and subifds:
                options["subifds"] = len(factors) - 1
            data = [b"" if i in left_out else part for i, part in enumerate(parts)]
            tif.write(iter(data), shape=level.shape, dtype=np.uint8, **options)
    with tifffile.TiffFile(path, mode="r+") as tif:
        first = tif.pages.first
        for page in (*(first.pages or ()), *tif.pages):
            page.aspage().tags["Compression"].overwrite(7)
            page.aspage().tags["PhotometricInterpretation"].overwrite(6 if kind.photometric == "ycbcr" else 2)
    return path
