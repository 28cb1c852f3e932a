"""Detection of tiles that one level lacks and another shows: missing tiles are read as white."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wsi_embed.errors import SlideError
from wsi_embed.slide.levels.choice import Pair, Size
from wsi_embed.slide.levels.places import FLAT, MOST_WHOLE
from wsi_embed.slide.levels.settled import ReadLevel, Settled
from wsi_embed.slide.tiff.directory import Directory
from wsi_embed.slide.tiff.images import TiffImage
from wsi_embed.slide.tiff.level import MOST_TILES, directory_layout

UInt8Array = npt.NDArray[np.uint8]
Int64Array = npt.NDArray[np.int64]
# Number of missing tiles below which level 0 is read: those above its largest tiles, because compressed tiles
# with content are larger than blank ones, and as many others.
MOST_READ = 8
MOST_PLANES = 1024
LARGEST_SIDE = 1024
# Grey values: glass is brighter.
DARK = 200
# Missing tiles of level 0 that are looked for on a coarser level.
MOST_SOUGHT = 2000


@dataclass(frozen=True)
class StoredTiles:
    """Tiles of an image in a file.

    Attributes:
        sizes: Size of each tile in bytes, int64 [rows, columns]; 0 for missing tiles.
        side: (width, height) of a tile, pixels.
    """

    sizes: Int64Array
    side: Size

    @property
    def missing(self) -> npt.NDArray[np.bool_]:
        """Whether each tile is missing, bool [rows, columns]."""
        return np.asarray(self.sizes == 0)


# By the number of an image.
TilesOf = Callable[[int], StoredTiles | None]


def tiff_tiles(directory: Directory) -> StoredTiles:
    """Return the tiles of an image of a TIFF.

    Raises:
        TiffError: If a tag is invalid.
        OSError: If the file cannot be read.
    """
    layout = directory_layout(directory)
    # colours in separate planes have further sizes
    sizes = directory.tile_sizes(MOST_TILES * MOST_PLANES)[: layout.tiles]
    return StoredTiles(sizes.reshape(layout.down, layout.across), (layout.tile_width, layout.tile_height))


def tiles_by_size(images: Sequence[TiffImage], sizes: Sequence[Size]) -> TilesOf:
    """Return a function that finds the tiles of a level of a TIFF: those of the only image of its size.

    Args:
        images: Images of the file.
        sizes: (width, height) of each level in the file, pixels.
    """

    def tiles_of(number: int) -> StoredTiles | None:
        found = [image for image in images if image.tiled and image.facts.size == sizes[number]]
        return tiff_tiles(found[0].directory) if len(found) == 1 else None

    return tiles_of


def leave_out_lacking(
    settled: Settled, tiles_of: TilesOf, read: ReadLevel, path: Path, read_as: str = "white"
) -> None:
    """Leave out the levels that lack tiles where level 0 has content, and warn if level 0 lacks some.

    Args:
        settled: Levels, from which such levels are removed.
        tiles_of: Function that returns the tiles of an image in the file, by its number; None if unknown.
        read: Function that reads a region of an image, by its number.
        path: Slide file, for the warnings.
        read_as: Colour of missing tiles, for the warnings.
    """

    def read_first(x: int, y: int, w: int, h: int) -> UInt8Array:
        return read(0, x, y, w, h)

    for place, number in reversed(list(enumerate(settled.numbers))[1:]):
        level = tiles_of(number)
        if level is None or level.sizes.all() or (first := tiles_of(0)) is None:
            continue
        if lacks_content(first, level, settled.scales[place], settled.sizes[0], read_first):
            size = "{} x {}".format(*settled.sizes[place])
            what = f"it lacks {level.missing.sum()} tiles, also where level 0 has content"
            settled.left_out.append(f"level {number} ({size}): {what}")
            settled.warnings.append(f"{path.name}: level {number} ({size} pixels) is not read: {what}")
            for values in (settled.numbers, settled.sizes, settled.scales):
                del values[place]
    if len(settled.sizes) == 1:
        settled.state = "alike"
    elif (first := tiles_of(0)) is not None and (lost := _lost_tiles(first, settled, read)):
        settled.warnings.append(
            f"{path.name}: level 0 lacks tiles with content (at least {lost}, by its coarser levels), which "
            f"are read as {read_as}; is a file of the slide missing, or is it incomplete?"
        )


def _lost_tiles(first: StoredTiles, settled: Settled, read: ReadLevel) -> int:
    """Return the number of tiles that level 0 lacks where the finest small level has content.

    Args:
        first: Tiles of level 0.
        settled: Levels.
        read: Function that reads a region of an image, by its number.
    """
    levels = zip(settled.numbers, settled.sizes, settled.scales, strict=True)
    small = next((level for level in levels if level[0] and level[1][0] * level[1][1] <= MOST_WHOLE), None)
    missing = np.argwhere(first.missing)
    if small is None or not len(missing):
        return 0
    number, size, scale = small
    try:
        grey = read(number, 0, 0, *size).mean(2)
    except SlideError:
        return 0  # reported when these pixels are read
    spread = np.linspace(0, len(missing) - 1, min(len(missing), MOST_SOUGHT)).astype(int)
    step = np.array(first.side[::-1]) / scale[::-1]
    lost = 0
    for place in missing[spread]:
        top, left = np.ceil(place * step).astype(int) + 1  # colours of the tiles beside it may reach into it
        bottom, right = np.floor((place + 1) * step).astype(int) - 1
        part = grey[top:bottom, left:right]
        # what was not scanned may be black, but it is uniform
        lost += bool(part.size and part.std() >= 2 * FLAT and part.min() < DARK)
    return lost


def lacks_content(
    first: StoredTiles,
    level: StoredTiles,
    scale: Pair,
    size: Size,
    read: Callable[[int, int, int, int], UInt8Array],
) -> bool:
    """Return whether a level lacks a tile where level 0 has content.

    Args:
        first: Tiles of level 0.
        level: Tiles of the level.
        scale: Level-0 pixels per pixel of the level, (x, y).
        size: (width, height) of level 0, pixels.
        read: Function that reads a region (x, y, width, height) of level 0, RGB uint8 [h, w, 3].
    """
    rows, columns = (
        _starts(count, side * step / part, len_)
        for count, side, step, part, len_ in zip(
            level.sizes.shape, level.side[::-1], scale[::-1], first.side[::-1], first.sizes.shape, strict=True
        )
    )
    largest = np.maximum.reduceat(np.maximum.reduceat(first.sizes, rows, 0), columns, 1)
    largest[~level.missing] = 0
    order = np.argsort(-largest, axis=None, kind="stable")[: np.count_nonzero(largest)]
    spread = order[np.linspace(0, len(order) - 1, MOST_READ).astype(int)] if len(order) else order
    for place in dict.fromkeys([*order[:MOST_READ].tolist(), *spread.tolist()]):
        row, column = divmod(place, largest.shape[1])
        block = first.sizes[_below(rows, row, len(first.sizes)), _below(columns, column, len(first.sizes[0]))]
        y, x = divmod(int(block.argmax()), block.shape[1])
        if _has_content(first, int(rows[row]) + y, int(columns[column]) + x, size, read):
            return True
    return False


def _starts(count: int, step: float, most: int) -> Int64Array:
    """Return the first of `most` rows or columns of level 0's tiles below each of `count` of a level's."""
    return np.minimum((np.arange(count) * step).astype(np.int64), most - 1)


def _below(starts: Int64Array, number: int, most: int) -> slice:
    """Return the rows or columns of level 0's tiles below one of a level's."""
    start = int(starts[number])
    end = int(starts[number + 1]) if number + 1 < len(starts) else most
    return slice(start, max(start + 1, end))


def _has_content(
    first: StoredTiles,
    row: int,
    column: int,
    size: Size,
    read: Callable[[int, int, int, int], UInt8Array],
) -> bool:
    """Return whether a tile of level 0 shows more than blank glass."""
    x, y = column * first.side[0], row * first.side[1]
    w, h = (
        min(side, LARGEST_SIDE, whole - at) for side, whole, at in zip(first.side, size, (x, y), strict=True)
    )
    if w < 1 or h < 1:  # padding
        return False
    try:
        grey = read(x, y, w, h).mean(2)
    except SlideError:
        return False  # reported when these pixels are read
    return bool(grey.std() >= FLAT or grey.mean() < DARK)
