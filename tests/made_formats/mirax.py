"""MIRAX: a .mrxs that holds a small picture, and beside it a folder with index and images.

https://openslide.org/formats/mirax/. One image a camera position, without overlap; positions that were
not scanned have no image at any level.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from pathlib import Path

from tests.made_formats.pixels import UInt8Array, jpeg, png, shrunk

SLIDE_ID = "0123456789ABCDEF0123456789ABCDEF"
MPP = 0.5

LEVEL_SECTION = """[LAYER_0_LEVEL_{level}_SECTION]
OVERLAP_X = 0.0
OVERLAP_Y = 0.0
MICROMETER_PER_PIXEL_X = {mpp}
MICROMETER_PER_PIXEL_Y = {mpp}
IMAGE_FORMAT = {format}
IMAGE_FILL_COLOR_BGR = 16777215
DIGITIZER_WIDTH = {side}
DIGITIZER_HEIGHT = {side}
IMAGE_CONCAT_FACTOR = {exponent}
"""


def write_mirax(
    path: Path,
    pixels: UInt8Array,
    *,
    side: int = 64,
    levels: int = 3,
    missing: Collection[tuple[int, int]] = (),
    lossless: bool = True,
) -> Path:
    """Write a MIRAX slide.

    Args:
        path: Where to; ends in .mrxs.
        pixels: Level 0; its sides are multiples of `side` times the last level's downsample.
        side: Of the images.
        levels: Each half the size of the one before.
        missing: (row, col) of images of level 0 that were not scanned; whole 2 x 2 blocks are left out
            of the next level too, and so on.
        lossless: Images as PNG, else as JPEG.
    """
    folder = path.with_suffix("")
    folder.mkdir()
    path.write_bytes(jpeg(shrunk(pixels, 8)))
    rows, cols = pixels.shape[0] // side, pixels.shape[1] // side
    data = bytearray(f"01.02{SLIDE_ID}".encode())
    records = []
    for level in range(levels):
        view, step = shrunk(pixels, 2**level), 2**level
        found = []
        for row in range(0, rows, step):
            for col in range(0, cols, step):
                block = {(row + i, col + j) for i in range(step) for j in range(step)}
                if block <= set(missing):
                    continue
                y, x = row // step * side, col // step * side
                content = (png if lossless else jpeg)(view[y : y + side, x : x + side])
                found.append((row * cols + col, len(data), len(content), 0))
                data += content
        records.append(found)
    (folder / "Data0000.dat").write_bytes(data)
    (folder / "Index.dat").write_bytes(_index(records))
    (folder / "Slidedat.ini").write_text(_slidedat(rows, cols, side, levels, lossless), "utf-8")
    return path


def _index(records: list[list[tuple[int, int, int, int]]]) -> bytes:
    """Pointers to the levels, each a chain of one page of (image, offset, length, file)."""
    head = f"01.02{SLIDE_ID}".encode()
    roots = len(head) + 8
    at = roots + 4 * len(records)
    pointers, pages = b"", b""
    for found in records:
        pointers += struct.pack("<i", at)
        page = struct.pack("<ii", 0, at + 8)
        page += struct.pack("<ii", len(found), 0)
        page += b"".join(struct.pack("<4i", *record) for record in found)
        pages += page
        at += len(page)
    return head + struct.pack("<ii", roots, at) + pointers + pages


def _slidedat(rows: int, cols: int, side: int, levels: int, lossless: bool) -> str:
    text = f"""[GENERAL]
SLIDE_VERSION = 01.02
SLIDE_ID = {SLIDE_ID}
IMAGENUMBER_X = {cols}
IMAGENUMBER_Y = {rows}
OBJECTIVE_MAGNIFICATION = 20
CameraImageDivisionsPerSide = 1

[HIERARCHICAL]
HIER_COUNT = 1
NONHIER_COUNT = 0
INDEXFILE = Index.dat
HIER_0_NAME = Slide zoom level
HIER_0_COUNT = {levels}
"""
    text += "".join(f"HIER_0_VAL_{i}_SECTION = LAYER_0_LEVEL_{i}_SECTION\n" for i in range(levels))
    text += "\n[DATAFILE]\nFILE_COUNT = 1\nFILE_0 = Data0000.dat\n\n"
    kind = "PNG" if lossless else "JPEG"
    for level in range(levels):
        text += LEVEL_SECTION.format(
            level=level, mpp=MPP * 2**level, format=kind, side=side, exponent=min(level, 1)
        )
    return "\ufeff" + text
