"""Detection of RGB or YCbCr in compressed pixels: the file's metadata against its codestreams.

If the metadata and the mark of a codestream agree, they are trusted. Otherwise the pixels of a few tiles
decide: many Aperio slides contain RGB in unmarked JPEGs, and programs that copy tiles may lose the colour
information.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from wsi_embed.slide.base import UInt8Array
from wsi_embed.slide.tiff.jpeg import APP0, APP14, BASELINE, RGB, YCBCR, JpegDecoder, segments

Float32Array = npt.NDArray[np.float32]
Kind = TypeVar("Kind")

NAMES = {RGB: "RGB", YCBCR: "YCbCr"}
ADOBE_YCBCR = 1  # the transform of an Adobe segment
COD, SOT = 0x52, 0x90  # markers of JPEG 2000: coding style, first part of a tile
SIZ_COMPONENTS = 36  # bytes from the length of the segment SIZ to the number of components
UNSIGNED_8 = 7  # SIZ's number for unsigned samples of 8 bits; 128 more for signed ones
# YCbCr of real pixels hardly ever exceeds the range of RGB, except for compression noise. If RGB is taken for
# YCbCr, white, black and most colours of a stained slide do.
NOISE = 24
MOST_BEYOND = 0.05
FLAT = 4.0  # deviation of the first component, grey values, below which pixels are uniform
WHITE = 250
FEWEST = 64  # pixels
# Shares of pixels beyond those of any slide: nuclei are not magenta, and no fluorescence lacks black.
MOST_MAGENTA, MOST_GREEN = 0.4, 0.8
SPREAD = 5  # tiles of an image to check, besides the smallest and the largest
SHRUNK = 4  # pixels are checked at 1/4 of the size, at which they are decoded directly
MOST_PIXELS = 1 << 24  # largest JPEG 2000 that is decoded for the check


def sample_tiles(sizes: npt.NDArray[np.int64]) -> list[int]:
    """Choose some tiles of an image: the smallest, the largest, and others spread over it.

    Args:
        sizes: Compressed size of each tile, bytes, int64 [tiles]; 0 for tiles missing in the file.

    Returns:
        Tile numbers, smallest first: these are fast to decode, and mostly show white glass.
    """
    there = np.flatnonzero(sizes)
    if not len(there):
        return []
    spread = there[np.linspace(0, len(there) - 1, SPREAD).round().astype(int)]
    ends = there[np.argmin(sizes[there])], there[np.argmax(sizes[there])]
    return sorted({int(tile) for tile in (*ends, *spread)}, key=lambda tile: (int(sizes[tile]), tile))


def jpeg_colours(tiles: Iterable[bytes], tables: bytes, said: int, width: int, height: int) -> set[int]:
    """Detect the colours of the JPEG tiles of an image.

    Args:
        tiles: Some of the tiles.
        tables: Shared JPEG tables; may be empty.
        said: RGB or YCBCR according to the metadata.
        width: Width of a tile, pixels.
        height: Height of a tile, pixels.

    Returns:
        RGB, YCBCR, or both if tiles differ.

    Raises:
        ValueError: If the head of a tile is broken.
    """
    decoder = JpegDecoder(tables, RGB, width, height)

    def components(tile: bytes) -> UInt8Array | None:
        pixels = np.empty((-(-height // SHRUNK), -(-width // SHRUNK), 3), np.uint8)
        try:
            decoder.decode(tile, pixels)
        except ValueError:  # damaged: reported when it is read
            return None
        return pixels

    return {
        said if mark == said else _held(map(components, alike)) or mark or said
        for mark, alike in _grouped(tiles, marked_colours)
    }


def marked_colours(data: bytes) -> int | None:
    """Return the colours according to the marks of a JPEG, RGB or YCBCR; None without clear marks.

    Raises:
        ValueError: If the head of the JPEG is broken.
    """
    marks = set()
    for marker, at, end in segments(data):
        body = data[at + 4 : end]
        if marker == APP0 and body.startswith(b"JFIF\0"):
            marks.add(YCBCR)
        elif marker == APP14 and body.startswith(b"Adobe") and len(body) > 11:
            marks.add(YCBCR if body[11] == ADOBE_YCBCR else RGB)
        elif marker in BASELINE:
            names, samplings = body[6:15:3], body[7:15:3]
            if names in (b"RGB", b"rgb"):
                marks.add(RGB)
            if samplings[:1] != samplings[1:2]:  # subsampling is used only for chroma
                marks.add(YCBCR)
    return marks.pop() if len(marks) == 1 else None


def jpeg2000_colours(tiles: Iterable[bytes], said: int) -> set[int]:
    """Detect the colours of the JPEG 2000 tiles of an image, after undoing their colour transform.

    Args:
        tiles: Some of the tiles.
        said: RGB or YCBCR according to the metadata, used if no tile can be decoded.

    Returns:
        RGB, YCBCR, or both if tiles differ.
    """
    return {
        YCBCR if subsampled else _held(map(_decoded, alike)) or said
        for (subsampled, _), alike in _grouped(
            tiles, lambda tile: (has_small_colours(tile), transforms_colours(tile))
        )
    }


def transforms_colours(data: bytes) -> bool | None:
    """Return whether a JPEG 2000 codestream has a colour transform, which decoders undo; else None."""
    at = data.find(b"\xff\x4f\xff\x51") + 2  # in a JP2 file the codestream does not come first
    while 2 <= at < len(data) - 9 and data[at] == 0xFF and data[at + 1] != SOT:
        if data[at + 1] == COD:
            return bool(data[at + 8])
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def has_small_colours(data: bytes) -> bool:
    """Return whether further components of a JPEG 2000 codestream have fewer pixels, like chroma."""
    return any(a[1:] != b[1:] for a, b in pairwise(_components(data)))


def other_samples(data: bytes) -> str | None:
    """Describe the samples of a JPEG 2000 codestream; None if they are unsigned and have 8 bits."""
    for number, *_ in _components(data):
        if number != UNSIGNED_8:
            return f"{'signed ' if number & 128 else ''}samples of {(number & 127) + 1} bits"
    return None


def _components(data: bytes) -> list[bytes]:
    """Return samples, and steps across and down, of up to three components of a JPEG 2000 codestream."""
    at = data.find(b"\xff\x4f\xff\x51") + 4 + SIZ_COMPONENTS
    if at < 4 + SIZ_COMPONENTS:
        return []
    count = min(3, int.from_bytes(data[at : at + 2], "big"))
    found = [data[at + 2 + 3 * i : at + 5 + 3 * i] for i in range(count)]
    return [each for each in found if len(each) == 3]


def _decoded(data: bytes) -> UInt8Array | None:
    """Return the components of a JPEG 2000, at reduced size if it has levels; None if damaged."""
    for reduce in (2, 0):
        try:
            with Image.open(io.BytesIO(data), formats=("JPEG2000",)) as image:
                if image.mode != "RGB" or image.width * image.height > MOST_PIXELS:
                    return None
                image.reduce = reduce  # type: ignore[method-assign, assignment]  # a number for this format
                return np.asarray(image)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            continue
    return None


def _grouped(tiles: Iterable[bytes], kind: Callable[[bytes], Kind]) -> Iterable[tuple[Kind, list[bytes]]]:
    groups = dict[Kind, list[bytes]]()
    for tile in tiles:
        groups.setdefault(kind(tile), []).append(tile)
    return groups.items()


def _held(pictures: Iterable[UInt8Array | None]) -> int | None:
    """Detect the colours of pictures of one kind: RGB if any looks like RGB, as YCbCr seldom does."""
    found = None
    for components in pictures:
        if components is not None and (held := held_colours(components)) is not None:
            found = held
            if held == RGB:
                break
    return found


def held_colours(components: UInt8Array) -> int | None:
    """Detect whether three components are RGB or YCBCR; None if they show too little.

    They are RGB if many of them would be invalid colours as YCbCr. Otherwise the interpretation counts under
    which red, green and blue are more correlated, as they are in pictures.

    Args:
        components: Stored components, uint8 [h, w, 3].
    """
    stored = components.reshape(-1, 3).astype(np.float32)
    luma, blue, red = stored[:, 0], stored[:, 1] - 128, stored[:, 2] - 128
    rgb = np.stack([luma + 1.402 * red, luma - 0.344 * blue - 0.714 * red, luma + 1.772 * blue], -1)
    beyond = (rgb.min(1) < -NOISE) | (rgb.max(1) > 255 + NOISE)
    if beyond.mean() > MOST_BEYOND:
        return RGB
    if luma.std() < FLAT:
        return None
    return RGB if _togetherness(stored) > _togetherness(rgb) else YCBCR


def misread_as_ycbcr(pixels: UInt8Array) -> bool:
    """Return whether pixels look like RGB that was decoded as if it were YCbCr.

    White and most stains then come out as magenta with red and blue at their maximum, black as green without
    red and blue.

    Args:
        pixels: Decoded pixels, uint8 [h, w, 3]; white ones count as not scanned.
    """
    seen = pixels.reshape(-1, 3)
    seen = seen[seen.min(1) < WHITE]
    if len(seen) < FEWEST:
        return False
    red_blue = seen[:, ::2]
    magenta = (red_blue.min(1) >= WHITE) & (seen[:, 1] <= 200)
    green = (red_blue.max(1) <= 255 - WHITE) & (seen[:, 1] >= 120)
    return bool(magenta.mean() > MOST_MAGENTA or green.mean() > MOST_GREEN)


def _togetherness(values: Float32Array) -> float:
    """Return the smallest correlation of two components; 0 if one does not vary."""
    if values.std(0).min() < 1:
        return 0.0
    return float(np.asarray(np.corrcoef(values.T))[np.triu_indices(3, 1)].min())
