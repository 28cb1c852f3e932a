"""What every slide reader offers."""

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
from wsi_embed.slide.overview import Box, read_overview
from wsi_embed.slide.same_picture import Picture, first_other
from wsi_embed.slide.stated import Stated
from wsi_embed.slide.stream import TileStream

if TYPE_CHECKING:
    from wsi_embed.grid import TileGrid

UInt8Array = npt.NDArray[np.uint8]
# OpenSlide's one downsample for both axes counts as right where it is off by less than half of this.
ROUNDED_PX = 4
LevelsState = Literal["alike", "shifts", "picture"]
# Slides (fingerprint, reader) whose levels were found to show one picture: many are opened again and again.
MOST_COMPARED = 65536
_COMPARED: set[tuple[str, str]] = set()


class Slide(abc.ABC):
    """An open whole-slide image. Safe to use from several threads.

    Attributes:
        path: The file.
        reader: Name of the reader.
        vendor: Scanner vendor as the format names it.
        level_sizes: (width, height) of each level, pixels.
        level_scales: Level-0 pixels per pixel of each level, (x, y); the first is (1.0, 1.0).
        stated: Every resolution that the metadata state, the field that is believed first at the front.
        objective_power: Magnification as the metadata say, or None.
        bounds: (x, y, width, height) of the scanned area, level-0 pixels.
        fingerprint: Digest of the content (size, head and tail of every file); path and time of
            the file do not matter.
        warnings: What to look at although the slide can be read, each a sentence that names the file.
        left_out: Images of the file that are no level of the slide, each with the reason; for `info`.
        levels_state: `alike` where the levels are known to show one picture. Else they are compared before
            one of them is read: also for `shifts` of two pixels and more, or only for another `picture`.
        levels_decide: Whether levels were left out, or lie otherwise than OpenSlide has them.
        reader_decides: Whether OpenSlide would give other pixels or levels than this reader.
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
    levels_decide: bool = False
    reader_decides: bool = False

    @property
    def mpp(self) -> tuple[float, float] | None:
        """Micrometres per pixel of level 0, (x, y), as the metadata say; None if they do not plausibly."""
        return next((stated.mpp for stated in self.stated if stated.plausible), None)

    @property
    def mpp_source(self) -> str | None:
        """Which metadata field `mpp` comes from; None without one."""
        return next((stated.source for stated in self.stated if stated.plausible), None)

    @property
    def level_downsamples(self) -> list[float]:
        """Level-0 pixels per pixel of each level, as one number: the mean of both axes.

        Of narrow slides, whose short side was rounded by more than 1 %, it is that of the long side.
        """
        width, height = self.level_sizes[0]
        return [
            (x + y) / 2 if abs(x - y) <= 0.01 * min(x, y) else (x if width >= height else y)
            for x, y in self.level_scales
        ]

    @property
    def decisive_levels(self) -> list[list[float]] | None:
        """Width, height and scale (x, y) of each level, for the settings that decide a slide's arrays.

        None where they are as OpenSlide has them, but for the rounding of their sides.
        """
        plain = all(abs(sx / sy - 1) * max(size) <= ROUNDED_PX for size, (sx, sy) in self._geometry())
        if plain and not self.levels_decide:
            return None
        return [[*size, *scale] for size, scale in self._geometry()]

    def _geometry(self) -> Iterator[tuple[tuple[int, int], tuple[float, float]]]:
        return zip(self.level_sizes, self.level_scales, strict=True)

    @abc.abstractmethod
    def _read(self, level: int, x: int, y: int, w: int, h: int) -> UInt8Array:
        """Read a region that lies wholly inside the level: uint8 [h, w, 3]."""

    def icc_profile(self) -> bytes | None:
        """The embedded ICC profile of the pixels, as it lies in the file; None without one.

        Raises:
            SlideError: It cannot be read.
        """
        return None

    @abc.abstractmethod
    def close(self) -> None:
        """Release the file. Closing twice is fine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def read(self, level: int, x: int, y: int, w: int, h: int) -> UInt8Array:
        """Read a region.

        Args:
            level: 0 is the finest.
            x: Left edge, whole pixels of that level; may be negative.
            y: Top edge.
            w: Width, pixels of that level.
            h: Height.

        Returns:
            RGB, uint8 [h, w, 3]. What lies outside the slide, or is transparent, is white.

        Raises:
            SlideError: The file cannot be decoded there, or its levels show different pictures.
            ValueError: There is no such level, or the size is not positive.
        """
        if not 0 <= level < len(self.level_sizes):
            raise ValueError(f"{self.path.name}: no level {level}, there are {len(self.level_sizes)}")
        if w < 1 or h < 1:
            raise ValueError(f"{self.path.name}: cannot read a region of {w} x {h} pixels")
        if level:
            self.check_levels()
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
        """Read the whole slide, area-averaged, with its longer side at most `max_px` pixels.

        Never enlarges, and needs bounded memory even where level 0 is the only level.

        Args:
            max_px: Upper bound of the longer side, pixels.
            unreadable: Where given, what cannot be decoded is white and its boxes are added here.

        Returns:
            RGB, uint8 [h, w, 3]. Label and macro images are never read.

        Raises:
            SlideError: The file cannot be decoded, and `unreadable` is not given.
        """
        return read_overview(self, max_px, unreadable)

    def read_tiles(self, grid: TileGrid) -> Iterator[tuple[int, UInt8Array]]:
        """Yield (row of the grid table, uint8 [tile_px, tile_px, 3]) for every tile, in order."""
        with self.stream(grid) as tiles:
            for row in range(len(grid)):
                tile = np.empty((grid.tile_px, grid.tile_px, 3), np.uint8)
                tiles.read(row, tile)
                yield row, tile

    def stream(self, grid: TileGrid) -> TileStream:
        """The tiles of a grid for several threads, each compressed tile decoded once where the reader can.

        Raises:
            SlideError: The grid is laid for a reader that decodes at a part of the size, or the levels show
                different pictures.
        """
        if grid.level:
            self.check_levels()
        scale = grid.plan.dct_scale
        if scale != 1 and scale not in self.dct_scales(grid.level):
            raise SlideError(
                f"its tiles are to be decoded at 1/{scale} of their size, which the reader "
                f"{self.reader} cannot",
                where=self.path.name,
                remedy="use `reader='auto'`",
            )
        return self._stream(grid)

    def check_levels(self) -> None:
        """Compare each level with the next finer one, once for a file and process.

        Raises:
            SlideError: If one shows something else than level 0.
        """
        if self.levels_state == "alike":
            return
        known = (self.fingerprint, self.reader)
        if known not in _COMPARED:
            if (number := first_other(self._pictures(), shifts=self.levels_state == "shifts")) is not None:
                w, h = self.level_sizes[number]
                raise SlideError(
                    f"its level {number} ({w} x {h} pixels) does not show what level 0 shows (a label, a "
                    "mask, or another scan?)",
                    where=self.path,
                    remedy="convert the file again from its level 0",
                )
            if len(_COMPARED) >= MOST_COMPARED:
                _COMPARED.clear()
            _COMPARED.add(known)
        self.levels_state = "alike"

    def _pictures(self) -> list[Picture]:
        return [
            Picture(size, scale, partial(self._read, level))
            for level, (size, scale) in enumerate(self._geometry())
        ]

    def _stream(self, grid: TileGrid) -> TileStream:
        return TileStream(self, grid)

    def dct_scales(self, level: int) -> list[int]:
        """Parts of the size (8 for 1/8) at which the level can be decoded at once, the smallest first."""
        return []


def unreadable(path: Path, error: object) -> SlideError:
    """The error for a file or pixels that cannot be decoded."""
    error = "".join(letter if letter.isprintable() else "?" for letter in str(error))
    advice = "the file may be damaged or truncated: copy it again"
    if re.search(
        "support|unrecognized|can ?not handle", str(error), re.IGNORECASE
    ):  # OpenSlide's words for it
        advice = "convert it to another variety, or to DICOM or a pyramidal TIFF"
    elif "Permission denied" in str(error):  # of a file beside it: MIRAX, VMS, DICOM
        advice = "check the permissions of all its files"
    return SlideError(f"cannot be read ({error})", where=path, remedy=advice)
