"""What would end the process within OpenSlide, which takes the numbers of a file as they are."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from wsi_embed.slide import directory as tiff
from wsi_embed.slide.base import unreadable
from wsi_embed.slide.directory import STARTS, Directory, TiffError, TiffFile
from wsi_embed.slide.level import Layout

# OpenSlide takes 4 bytes for each, and aborts where it gets no memory.
MOST_TILE_PIXELS = 1 << 26
# White pixels as a JPEG take about 100 to a byte, compressed better than any slide is 10,000.
MOST_PIXELS_A_BYTE = 1 << 14
NDPI = 65420  # a tag of Hamamatsu's, who write offsets of 64 bits in their own way, and no tiles


def check_tiff(path: Path) -> None:
    """Refuse a TIFF whose tiles are larger than any, or than their file. Other files pass.

    Raises:
        SlideError: It is one.
    """
    try:
        with path.open("rb") as data:
            if data.read(4) not in STARTS:
                return
        with TiffFile(path) as file:
            if file.first and NDPI in file.directory(file.first).tags:
                return
            tiled = [directory for directory in file.directories() if directory.tiled]
            layouts = [_check_tiles(directory) for directory in tiled]
            if layouts and tiled[0].bytes(tiff.IMAGE_DESCRIPTION, file.size).startswith(b"Aperio"):
                _check_order(layouts)
    except (TiffError, OSError) as error:
        raise unreadable(path, error) from error


def _check_tiles(directory: Directory) -> Layout:
    codes = (tiff.IMAGE_WIDTH, tiff.IMAGE_LENGTH, tiff.TILE_WIDTH, tiff.TILE_LENGTH)
    width, height, tile_width, tile_height = sizes = [directory.number(code) for code in codes]
    if not all(sizes) or tile_width * tile_height > MOST_TILE_PIXELS:
        raise TiffError(f"{width} x {height} pixels in tiles of {tile_width} x {tile_height}")
    layout, size = Layout(*sizes), directory.file.size
    if width * height > MOST_PIXELS_A_BYTE * size:
        raise TiffError(f"{width} x {height} pixels in {size} bytes")
    tiles = layout.across * layout.down
    for code in (tiff.TILE_OFFSETS, tiff.TILE_BYTE_COUNTS):
        found = directory.tags[code].count if code in directory.tags else 0
        if found < tiles:
            raise TiffError(f"places of {found} tiles where there should be {tiles}")
    lengths = directory.numbers(tiff.TILE_BYTE_COUNTS, size)
    if lengths.max() > size:
        raise TiffError(f"a tile of {lengths.max()} bytes in a file of {size}")
    return layout


def _check_order(layouts: list[Layout]) -> None:
    """OpenSlide divides the tiles of each level of an Aperio slide by those of the next."""
    for level, following in pairwise(layouts):
        if following.across > level.across or following.down > level.down:
            raise TiffError("its levels are not in order")
