"""Interface of all slide readers."""

from __future__ import annotations

import abc
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import numpy.typing as npt

from wsi_embed.errors import SlideError
from wsi_embed.slide.levels.check import compared_levels, words_for
from wsi_embed.slide.levels.places import Picture
from wsi_embed.slide.overview import Box, read_overview
from wsi_embed.slide.resolution.stated import Stated
from wsi_embed.slide.stream import TileStream

if TYPE_CHECKING:
    from wsi_embed.grid import TileGrid

UInt8Array = npt.NDArray[np.uint8]
# OpenSlide's common downsample for both axes is accepted if it is off by less than half of this.
ROUNDED_PX = 4
LevelsState = Literal["alike", "shifts", "large shifts", "picture"]


class Slide(abc.ABC):
    """Open whole-slide image. Safe to use from several threads. See `open_slide`.

    Attributes:
        path: Slide file.
        reader: Name of the reader.
        vendor: Scanner vendor, as named by the format.
        level_sizes: (width, height) of each level, pixels.
        level_scales: Level-0 pixels per pixel of each level, (x, y); (1.0, 1.0) for level 0.
        stated: Resolutions stated in the metadata, the preferred field first.
        objective_power: Magnification in the metadata, or None.
        bounds: (x, y, width, height) of the scanned area, level-0 pixels.
        fingerprint: Digest of the content (size, head and tail of every file), independent of path and time.
        warnings: Problems that do not prevent reading, each a sentence that names the file.
        left_out: Images in the file that are not levels of the slide, each with the reason; shown by `info`.
        levels_state: `alike` if all levels are known to show the same picture. Otherwise they are compared
            before one of them is read: `picture` rejects different pictures, `large shifts` also shifts of
            more than three pixels, `shifts` those of two pixels or more.
        other_levels: Indices of levels that were found not to show what level 0 shows, and are not read.
        levels_decide: Whether levels were left out, or are placed differently than by OpenSlide.
        reader_decides: Whether OpenSlide would return other pixels or levels than this reader.
        tile_size: (width, height) of the file's tiles in level 0, pixels; None if unknown.

    Example:
        >>> import wsi_embed
        >>> with wsi_embed.open_slide("slides/a.tiff") as slide:
        ...     slide.read(level=0, x=0, y=0, w=256, h=256).shape
        (256, 256, 3)
    """

    path: Path
    reader: str
    vendor: str
    level_sizes: list[tuple[int, int]]
    level_scales: list[tuple[float, float]]
    stated: tuple[Stated, ...] = ()
    objective_power: float | None = None
    bounds: tuple[int, int, int, int]
    fingerprint: str
    warnings: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    levels_state: LevelsState = "alike"
    other_levels: frozenset[int] = frozenset()
    levels_decide: bool = False
    reader_decides: bool = False
    tile_size: tuple[int, int] | None = None

    @property
    def mpp(self) -> tuple[float, float] | None:
        """Micrometres per pixel of level 0, (x, y), from the first plausible metadata field, or None."""
        return next((stated.mpp for stated in self.stated if stated.plausible), None)

    @property
    def mpp_source(self) -> str | None:
        """Metadata field of `mpp`, or None."""
        return next((stated.source for stated in self.stated if stated.plausible), None)

    @property
    def level_downsamples(self) -> list[float]:
        """Level-0 pixels per pixel of each level as a single number, the mean of both axes.

        For narrow slides, whose short side was rounded by more than 1 %, it is the number of the long side.
        """
        width, height = self.level_sizes[0]
        return [
            (x + y) / 2 if abs(x - y) <= 0.01 * min(x, y) else (x if width >= height else y)
            for x, y in self.level_scales
        ]

    @property
    def decisive_levels(self) -> list[list[float]] | None:
        """Width, height and scale (x, y) of each level, for the settings that determine a slide's arrays.

        None if they equal OpenSlide's, except for rounding.
        """
        plain = all(abs(sx / sy - 1) * max(size) <= ROUNDED_PX for size, (sx, sy) in self._geometry())
        if plain and not self.levels_decide and not self.other_levels:
            return None
        geometry = enumerate(self._geometry())
        return [[*size, *scale] for level, (size, scale) in geometry if level not in self.other_levels]

    def _geometry(self) -> Iterator[tuple[tuple[int, int], tuple[float, float]]]:
        return zip(self.level_sizes, self.level_scales, strict=True)

    @abc.abstractmethod
    def _read(self, level: int, x: int, y: int, w: int, h: int) -> UInt8Array:
        """Read a region that lies entirely inside the level: uint8 [h, w, 3]."""

    def icc_profile(self) -> bytes | None:
        """Return the embedded ICC profile of the pixels, unchanged; None without one.

        Raises:
            SlideError: If the profile cannot be read.
        """
        return None

    @abc.abstractmethod
    def close(self) -> None:
        """Close the file. May be called several times."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def read(self, level: int, x: int, y: int, w: int, h: int) -> UInt8Array:
        """Read a region.

        Args:
            level: Index of the level; 0 is the finest.
            x: Left edge, whole pixels of that level; may be negative.
            y: Top edge, whole pixels of that level; may be negative.
            w: Width, pixels of that level.
            h: Height, pixels of that level.

        Returns:
            RGB, uint8 [h, w, 3]. Pixels outside the slide, and transparent ones, are white.

        Raises:
            SlideError: If the region cannot be decoded, or the level does not show what level 0 shows.
            ValueError: If there is no such level, or the size is not positive.
        """
        if not 0 <= level < len(self.level_sizes):
            raise ValueError(f"{self.path.name}: no level {level}, there are {len(self.level_sizes)}")
        if w < 1 or h < 1:
            raise ValueError(f"{self.path.name}: cannot read a region of {w} x {h} pixels")
        self._check_level(level)
        width, height = self.level_sizes[level]
        left, top = max(x, 0), max(y, 0)
        right, bottom = min(x + w, width), min(y + h, height)
        if (left, top, right, bottom) == (x, y, x + w, y + h):
            return self._read(level, x, y, w, h)
        out = np.full((h, w, 3), 255, np.uint8)
        if left < right and top < bottom:
            inside = self._read(level, left, top, right - left, bottom - top)
            out[top - y : bottom - y, left - x : right - x] = inside
        return out

    def thumbnail(self, max_px: int, unreadable: list[Box] | None = None) -> UInt8Array:
        """Read the whole slide, area-averaged, with at most `max_px` pixels on its longer side.

        The slide is never enlarged. Memory is bounded even if level 0 is the only level.

        Args:
            max_px: Upper bound of the longer side, pixels.
            unreadable: If given, areas that cannot be decoded are white, and their boxes are appended to this
                list.

        Returns:
            RGB, uint8 [h, w, 3]. Label and macro images are never read.

        Raises:
            SlideError: If the slide cannot be decoded, and `unreadable` is None.

        Example:
            >>> import wsi_embed
            >>> with wsi_embed.open_slide("slides/a.tiff") as slide:
            ...     max(slide.thumbnail(100).shape)
            100
        """
        return read_overview(self, max_px, unreadable)

    def read_tiles(self, grid: TileGrid) -> Iterator[tuple[int, UInt8Array]]:
        """Yield (row of the grid, uint8 [tile_px, tile_px, 3]) for every tile, in order."""
        with self.stream(grid) as tiles:
            for row in range(len(grid)):
                tile = np.empty((grid.tile_px, grid.tile_px, 3), np.uint8)
                tiles.read(row, tile)
                yield row, tile

    def stream(self, grid: TileGrid) -> TileStream:
        """Return a reader of a grid's tiles for several threads.

        If the reader supports it, each compressed tile is decoded only once.

        Raises:
            SlideError: If the grid requires decoding at a reduced size that the reader does not support, or
                the level does not show what level 0 shows.
        """
        self._check_level(grid.level)
        scale = grid.plan.dct_scale
        if scale != 1 and scale not in self.dct_scales(grid.level):
            raise SlideError(
                f"its tiles are to be decoded at 1/{scale} of their size, which the reader "
                f"{self.reader} cannot",
                where=self.path.name,
                remedy="use `reader='auto'`",
            )
        return self._stream(grid)

    def usable_levels(self) -> list[int]:
        """Return the indices of the levels that show what level 0 shows.

        Levels are compared once per file and process; `warnings` and `left_out` name those that differ.

        Raises:
            SlideError: If level 0 itself is in doubt.
        """
        if self.levels_state != "alike":
            self._compare_levels()
        return [level for level in range(len(self.level_sizes)) if level not in self.other_levels]

    def _compare_levels(self) -> None:
        known = self.fingerprint, self.reader
        try:
            self.other_levels = others = compared_levels(known, self._pictures(), self.levels_state)
        except SlideError as error:
            raise error.at(self.path) from error
        left_out, warnings = words_for(self.path.name, others, self.level_sizes)
        # without repetition, because another thread may have added them
        self.left_out = tuple(dict.fromkeys((*self.left_out, *left_out)))
        self.warnings = tuple(dict.fromkeys((*self.warnings, *warnings)))
        self.levels_state = "alike"

    def _check_level(self, level: int) -> None:
        """Check that a level shows what level 0 shows.

        Raises:
            SlideError: If it does not, or level 0 itself is in doubt.
        """
        if level and level not in self.usable_levels():
            w, h = self.level_sizes[level]
            raise SlideError(
                f"its level {level} ({w} x {h} pixels) does not show what level 0 shows (a label, a mask, or "
                "another scan?)",
                where=self.path,
                remedy="read another level, or convert the file again from its level 0",
            )

    def _pictures(self) -> list[Picture]:
        return [
            Picture(size, scale, partial(self._read, level))
            for level, (size, scale) in enumerate(self._geometry())
        ]

    def _stream(self, grid: TileGrid) -> TileStream:
        return TileStream(self, grid)

    def dct_scales(self, level: int) -> list[int]:
        """Return the reduced sizes (8 for 1/8) at which the level can be decoded directly, smallest first."""
        return []


def unreadable(path: Path, error: object) -> SlideError:
    """Return the error for a file or region that cannot be decoded."""
    error = "".join(letter if letter.isprintable() else "?" for letter in str(error))
    advice = "the file may be damaged or truncated: copy it again"
    if re.search(
        "support|unrecognized|can ?not handle|colou?r ?space", str(error), re.IGNORECASE
    ):  # OpenSlide's words for it
        advice = "convert it to another variety, or to DICOM or a pyramidal TIFF"
    elif "Permission denied" in str(error):  # of a file beside it: MIRAX, VMS, DICOM
        advice = "check the permissions of all its files"
    return SlideError(f"cannot be read ({error})", where=path, remedy=advice)
