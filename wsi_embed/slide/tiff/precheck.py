"""Detection of TIFF files that would crash the process inside OpenSlide, which trusts their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from wsi_embed.slide.base import unreadable
from wsi_embed.slide.compressed_level import Layout
from wsi_embed.slide.tiff import tags as tiff
from wsi_embed.slide.tiff.directory import STARTS, Directory, TiffFile
from wsi_embed.slide.tiff.level import MOST_TILES
from wsi_embed.slide.tiff.tags import TiffError

# OpenSlide allocates 4 bytes per pixel, and aborts if there is no memory.
MOST_TILE_PIXELS = 1 << 26
# About 100 white pixels fit into a byte of JPEG; 10,000 is more than any compression of a slide achieves.
MOST_PIXELS_A_BYTE = 1 << 14
SEPARATE = 2  # planar configuration with each colour in tiles of its own
NDPI = 65420  # a tag of Hamamatsu, whose files have non-standard 64-bit offsets and no tiles


def open_tiff(path: Path) -> TiffFile | None:
    """Open a TIFF, and check that the sizes of its tiles are plausible.

    Returns:
        The open file; None for other files, and for Hamamatsu's NDPI.

    Raises:
        SlideError: If the check fails, or the file cannot be read.
    """
    try:
        with path.open("rb") as data:
            if data.read(4) not in STARTS:
                return None
        file = TiffFile(path)
        try:
            if file.first and NDPI in file.directory(file.first).tags:
                file.close()
                return None
            _check_directories(file.directories())
        except BaseException:
            file.close()
            raise
    except (TiffError, OSError) as error:
        raise unreadable(path, error) from error
    return file


def _check_directories(directories: Sequence[Directory]) -> None:
    levels = [_check_tiles(directory) for directory in directories if directory.tiled]
    if directories and is_aperio(directories[0]):
        _check_order(levels)


def _check_tiles(directory: Directory) -> tuple[Layout, bool]:
    """Return the tile layout of a directory, and whether tiles are missing."""
    codes = (tiff.IMAGE_WIDTH, tiff.IMAGE_LENGTH, tiff.TILE_WIDTH, tiff.TILE_LENGTH)
    width, height, tile_width, tile_height = sizes = [directory.number(code) for code in codes]
    if not all(sizes) or tile_width * tile_height > MOST_TILE_PIXELS:
        raise TiffError(f"{width} x {height} pixels in tiles of {tile_width} x {tile_height}")
    layout, size = Layout(*sizes), directory.file.size
    if width * height > MOST_PIXELS_A_BYTE * size or layout.tiles > MOST_TILES:
        raise TiffError(f"{width} x {height} pixels in {size} bytes, {layout.tiles} tiles")
    planes = directory.number(tiff.PLANAR_CONFIGURATION, 1) == SEPARATE
    expected = layout.tiles * (directory.number(tiff.SAMPLES_PER_PIXEL, 1) if planes else 1)
    for code in (tiff.TILE_OFFSETS, tiff.TILE_BYTE_COUNTS):
        found = directory.tags[code].count if code in directory.tags else 0
        if found != expected:
            raise TiffError(f"places of {found} tiles where there should be {expected}")
    lengths = directory.tile_sizes(expected)
    if lengths.max() > size:
        raise TiffError(f"a tile of {lengths.max()} bytes in a file of {size}")
    return layout, bool((lengths == 0).any())


def is_aperio(directory: Directory) -> bool:
    """Return whether a directory is the first of an Aperio slide.

    Raises:
        TiffError: If its description is not inside the file.
        OSError: If the file cannot be read.
    """
    text = directory.tags.get(tiff.IMAGE_DESCRIPTION)
    name = b"Aperio"
    return text is not None and text.count > len(name) and directory.file.read(text.offset, len(name)) == name


def _check_order(levels: list[tuple[Layout, bool]]) -> None:
    """Check the order of levels with missing tiles.

    OpenSlide divides the tile counts of such a level by those of the next one.
    """
    left_out = False
    for (level, missing), (following, _) in pairwise(levels):
        left_out |= missing
        if left_out and (following.across > 2 * level.across or following.down > 2 * level.down):
            raise TiffError("its levels are not in order")
