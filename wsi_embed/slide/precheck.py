"""What would end the process within OpenSlide, which takes the numbers of a file as they are."""

from __future__ import annotations

from pathlib import Path

from wsi_embed.slide import directory as tiff
from wsi_embed.slide.base import unreadable
from wsi_embed.slide.directory import STARTS, Directory, TiffError, TiffFile

# OpenSlide takes 4 bytes for each, and aborts where it gets no memory.
MOST_TILE_PIXELS = 1 << 26
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
            for directory in file.directories():
                if directory.tiled:
                    _check_tiles(directory)
    except (TiffError, OSError) as error:
        raise unreadable(path, error) from error


def _check_tiles(directory: Directory) -> None:
    width, height = directory.number(tiff.TILE_WIDTH), directory.number(tiff.TILE_LENGTH)
    if width * height > MOST_TILE_PIXELS:
        raise TiffError(f"tiles of {width} x {height} pixels")
    size = directory.file.size
    sizes = directory.numbers(tiff.TILE_BYTE_COUNTS, size)
    if sizes.size and sizes.max() > size:
        raise TiffError(f"a tile of {sizes.max()} bytes in a file of {size}")
