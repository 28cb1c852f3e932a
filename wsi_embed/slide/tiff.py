"""TIFF slides of JPEG tiles, decoded here: OpenSlide's pixels in a fraction of its time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsi_embed.slide import directory as tiff
from wsi_embed.slide.base import Slide, UInt8Array
from wsi_embed.slide.decode_once import DecodeOnce
from wsi_embed.slide.directory import Directory, TiffError, TiffFile
from wsi_embed.slide.level import JpegLevel
from wsi_embed.slide.openslide import OpenSlideSlide
from wsi_embed.slide.stream import TileStream

if TYPE_CHECKING:
    from wsi_embed.grid import TileGrid

VENDORS = ("aperio", "generic-tiff")
REDUCED = 1  # bit of NewSubfileType
MOST_HIDDEN = 32
DCT_SCALES = (8, 4, 2)


class TiffSlide(Slide):
    """A slide whose JPEG tiles are decoded here; what it says of itself is read by OpenSlide.

    Pixels are those of OpenSlide, bit for bit, on level 0 and on every level whose downsample is a whole
    number. On others OpenSlide interpolates between the pixels of the level, and this gives them as they are.
    Levels that cannot be decoded here are left to OpenSlide; levels that only this sees (SubIFDs, as in
    OME-TIFF) are added.

    Args:
        slide: The slide as OpenSlide opened it; closed together with this one.

    Raises:
        TiffError: Level 0 is of another kind; `slide` stays open.
        OSError: The file cannot be read.
    """

    reader = "tiff"

    def __init__(self, slide: OpenSlideSlide) -> None:
        self._slide = slide
        self._take_facts(slide)
        self.reader = "tiff"
        if slide.vendor not in VENDORS:
            raise TiffError(f"its format is {slide.vendor}")
        self._file = TiffFile(slide.path)
        try:
            self._find_levels()
        except BaseException:
            self._file.close()
            raise

    def _find_levels(self) -> None:
        directories = self._file.directories()
        self._levels = self._own_levels(directories)
        hidden = self._hidden_levels(directories[0]) if len(self._levels) == 1 else []
        width, height = self.level_sizes[0]
        for level in hidden:
            self.level_sizes.append(level.size)
            self.level_scales.append((width / level.size[0], height / level.size[1]))
        self._levels += hidden
        own = (i for i, level in enumerate(self._levels) if level and level not in hidden)
        self.reader_decides = bool(hidden) or any(map(self._slide.interpolates, own))

    def _own_levels(self, directories: list[Directory]) -> list[JpegLevel | None]:
        """Levels that OpenSlide sees; None for those that are left to it."""
        if self.vendor == "aperio":
            chosen = [d for d in directories if d.tiled]
        else:
            chosen = [d for i, d in enumerate(directories) if d.tiled and (i == 0 or _is_reduced(d))]
            chosen.sort(key=lambda d: -d.number(tiff.IMAGE_WIDTH))
        sizes = [(d.number(tiff.IMAGE_WIDTH), d.number(tiff.IMAGE_LENGTH)) for d in chosen]
        if sizes != self.level_sizes or len(set(sizes)) != len(sizes):
            raise TiffError("its levels are not those that OpenSlide sees")
        levels: list[JpegLevel | None] = [JpegLevel(chosen[0])]
        for directory in chosen[1:]:
            try:
                levels.append(JpegLevel(directory))
            except TiffError:
                levels.append(None)
        if self.vendor == "aperio":
            _leave_rendered(levels)
        return levels

    def _hidden_levels(self, directory: Directory) -> list[JpegLevel]:
        """Levels in SubIFDs of level 0, which OpenSlide does not see."""
        if self.vendor == "aperio":
            return []
        try:
            offsets = directory.numbers(tiff.SUB_IFDS, MOST_HIDDEN).tolist()
            levels = [JpegLevel(self._file.directory(offset)) for offset in offsets]
        except TiffError:
            return []  # as OpenSlide sees it
        before = self.level_sizes[0]
        for level in levels:
            (w0, h0), (w, h) = self.level_sizes[0], level.size
            downsample = (w0 / w + h0 / h) / 2
            # sizes may have been rounded either way
            alike = max(abs(w * downsample - w0), abs(h * downsample - h0)) <= 1.5 * downsample
            if not alike or w >= before[0] or h >= before[1]:
                return []
            before = level.size
        return levels

    def _read(self, level: int, x: int, y: int, w: int, h: int) -> UInt8Array:
        own = self._levels[level]
        return self._slide.read(level, x, y, w, h) if own is None else own.read(x, y, w, h)

    def _stream(self, grid: TileGrid) -> TileStream:
        own = self._levels[grid.level]
        return TileStream(self, grid) if own is None else DecodeOnce(self, grid, own)

    def dct_scales(self, level: int) -> list[int]:
        """Parts of the size (8 for 1/8) at which the level can be decoded at once, the smallest first."""
        own = self._levels[level]
        if own is None:
            return []
        sides = own.layout.tile_width, own.layout.tile_height
        return [scale for scale in DCT_SCALES if not any(side % scale for side in sides)]

    def icc_profile(self) -> bytes | None:
        """The embedded ICC profile of the pixels, as it lies in the file; None without one."""
        return self._slide.icc_profile()

    def close(self) -> None:
        """Release the file. Closing twice is fine."""
        self._file.close()
        self._slide.close()


def _is_reduced(directory: Directory) -> bool:
    return bool(directory.number(tiff.NEW_SUBFILE_TYPE) & REDUCED)


def _leave_rendered(levels: list[JpegLevel | None]) -> None:
    """Leave to OpenSlide what it renders from finer levels: of an Aperio slide, below any missing tile."""
    first = next((i for i, level in enumerate(levels) if level is None or level.missing.any()), len(levels))
    for i in range(max(1, first), len(levels)):
        levels[i] = None
