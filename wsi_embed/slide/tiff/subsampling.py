"""Check of the chroma subsampling of YCbCr that is not JPEG: libtiff does not check the number of bytes."""

from __future__ import annotations

import math
import zlib

import numpy as np

from wsi_embed.errors import SlideError
from wsi_embed.slide.tiff import tags as tiff
from wsi_embed.slide.tiff.directory import Directory
from wsi_embed.slide.tiff.level import MOST_TILES
from wsi_embed.slide.tiff.storage import APERIO_JPEG_2000, JPEG, YCBCR, YCBCR_SUBSAMPLING, Storage

NONE, LZW, ADOBE_DEFLATE, PACKBITS, DEFLATE, ZSTD = 1, 5, 8, 32773, 32946, 50000
KNOWN = ((1, 1), (2, 1), (2, 2), (4, 1), (1, 2), (4, 2), (2, 4), (1, 4), (4, 4))  # the usual ones first
LARGEST_TILE = 1 << 24  # bytes
ZSTD_BLOCK = 1 << 17  # most bytes that a block of zstd holds
CLEAR, END, FIRST = 256, 257, 258  # codes of LZW


def subsampling_fault(directory: Directory, stored: Storage) -> SlideError | None:
    """Check whether a tile has the size of the subsampling that the TIFF states, or of 2 x 2 by default.

    Args:
        directory: Directory of the image.
        stored: Storage of its pixels.

    Returns:
        The error, without the name of the file; None if there is none.

    Raises:
        TiffError: If a tag is invalid.
        OSError: If the file cannot be read.
    """
    jpegs = stored.compression in (JPEG, *APERIO_JPEG_2000)
    if stored.photometric != YCBCR or jpegs or not stored.chunky or stored.samples != 3:
        return None
    said = (*stored.subsampling, 2)[:2]
    held = _held(directory, stored.compression)
    if held is None or held == said:
        return None
    names = [f"{across} x {down}" for across, down in (said, held)]
    word = "says" if YCBCR_SUBSAMPLING in directory.tags else "is left out, which means"
    return SlideError(
        f"its tag YCbCrSubSampling {word} {names[0]}, but its tiles have the bytes of {names[1]}",
        remedy=f"set the tag to {held[0]} {held[1]}, or write it again as RGB",
    )


def _held(directory: Directory, compression: int) -> tuple[int, int] | None:
    """Return the subsampling that matches the size of a tile, (across, down); preferably the stated one."""
    sides = directory.number(tiff.TILE_WIDTH), directory.number(tiff.TILE_LENGTH)
    sizes = directory.numbers(tiff.TILE_BYTE_COUNTS, MOST_TILES)
    offsets = directory.numbers(tiff.TILE_OFFSETS, MOST_TILES)
    there = np.flatnonzero(sizes[: len(offsets)])
    if not len(there) or sizes[there[0]] > LARGEST_TILE:
        return None
    count = _bytes_of(directory.file.read(int(offsets[there[0]]), int(sizes[there[0]])), compression)
    stated = tuple(directory.numbers(YCBCR_SUBSAMPLING, 2).tolist()) or (2, 2)
    fitting = [kind for kind in KNOWN if count == _tile_bytes(sides, kind)]
    return stated if stated in fitting else fitting[0] if fitting else None


def _tile_bytes(sides: tuple[int, int], subsampling: tuple[int, int]) -> int:
    """Return the size of a tile: for each block of pixels its lumas and two chromas."""
    across, down = subsampling
    return math.ceil(sides[0] / across) * math.ceil(sides[1] / down) * (across * down + 2)


def _bytes_of(data: bytes, compression: int) -> int | None:
    """Return the uncompressed size of data; None if unknown."""
    if compression == NONE:
        return len(data)
    if compression in (ADOBE_DEFLATE, DEFLATE):
        try:
            return len(zlib.decompressobj().decompress(data, LARGEST_TILE))
        except zlib.error:
            return None
    if compression == LZW:
        return _lzw_bytes(data)
    if compression == ZSTD:
        return _zstd_bytes(data)
    return _packbits_bytes(data) if compression == PACKBITS else None


def _lzw_bytes(data: bytes) -> int:
    """Return the uncompressed size of TIFF's LZW; for each code only the length of its text matters."""
    lengths, bits, value, total, before, width = [0] * FIRST, 0, 0, 0, 0, 9
    for byte in data:
        value, bits = (value << 8 | byte) & 0xFFFFFFFF, bits + 8
        if bits < width:
            continue
        bits -= width
        code = value >> bits & (1 << width) - 1
        if code == END:
            break
        if code == CLEAR:
            del lengths[FIRST:]
            before, width = 0, 9
            continue
        if before:
            lengths.append(before + 1)
        before = 1 if code < CLEAR else lengths[min(code, len(lengths) - 1)]
        total += before
        width = min(12, max(9, (len(lengths) + 1).bit_length()))
    return total


def _zstd_bytes(data: bytes) -> int | None:
    """Return the uncompressed size of a zstd frame (RFC 8878), which libtiff does not write into it."""
    if len(data) < 5 or not data.startswith(b"\x28\xb5\x2f\xfd"):
        return None
    single, dictionary, size = data[4] & 32, data[4] & 3, data[4] >> 6
    at = 5 + (not single) + (0, 1, 2, 4)[dictionary] + (bool(single), 2, 4, 8)[size]
    blocks = 0
    while at + 3 <= len(data):
        head = int.from_bytes(data[at : at + 3], "little")
        at, blocks = at + 3 + (1 if head >> 1 & 3 == 1 else head >> 3), blocks + 1
        if head & 1:
            break
    if blocks * ZSTD_BLOCK > LARGEST_TILE:
        return None
    from numcodecs import Zstd  # takes longer to import than a slide to open

    try:
        return len(Zstd().decode(data))
    except (RuntimeError, ValueError):
        return None


def _packbits_bytes(data: bytes) -> int:
    """Return the uncompressed size of PackBits: runs of one byte, and literal bytes."""
    at = total = 0
    while at < len(data):
        count = data[at]
        if count < 128:
            at, total = at + 2 + count, total + count + 1
        else:
            at, total = at + 1 + (count != 128), total + (257 - count) * (count != 128)
    return total
