"""Reader of TIFF slides with JPEG tiles: OpenSlide's pixels in a fraction of its time."""

from __future__ import annotations

from dataclasses import replace

from wsi_embed.slide.base import UInt8Array
from wsi_embed.slide.colour.check import wrong_colours
from wsi_embed.slide.colour.photometric import NAMES
from wsi_embed.slide.decoded_slide import DecodedSlide
from wsi_embed.slide.levels.missing_tiles import leave_out_lacking, tiff_tiles
from wsi_embed.slide.levels.settle import believed_levels
from wsi_embed.slide.openslide.slide import OpenSlideSlide
from wsi_embed.slide.tiff import tags as tiff
from wsi_embed.slide.tiff.images import TiffImage, level_images, tiff_images
from wsi_embed.slide.tiff.level import TiffLevel
from wsi_embed.slide.tiff.tags import TiffError

VENDORS = ("aperio", "generic-tiff")
MOST_HIDDEN = 32


class TiffSlide(DecodedSlide):
    """Slide whose JPEG tiles are decoded by this package; its metadata are read by OpenSlide.

    Pixels are bit-identical to OpenSlide's on level 0 and on every level with an integer downsample. On other
    levels OpenSlide interpolates between the pixels of the level, and this class returns them unchanged.
    Levels that cannot be decoded directly are read by OpenSlide; levels in SubIFDs (as in OME-TIFF), which
    OpenSlide does not see, are added.

    Args:
        slide: The slide as OpenSlide opened it; closed together with this one.

    Raises:
        TiffError: If level 0 is of another kind; `slide` stays open.
        OSError: If the file cannot be read.
    """

    reader = "tiff"

    def __init__(self, slide: OpenSlideSlide) -> None:
        super().__init__(slide)
        self.reader = "tiff"
        if slide.vendor not in VENDORS:
            raise TiffError(f"its format is {slide.vendor}")
        if slide.tiff is None:
            raise TiffError("it is no TIFF")
        self._file = slide.tiff
        self._find_levels()

    def _find_levels(self) -> None:
        images = self._slide.tiff_images
        self._levels = seen = self._own_levels(images)
        hidden = self._add_hidden_levels(images[0]) if len(seen) == 1 else []
        self._levels = [*seen, *hidden]
        own = (i for i, level in enumerate(seen) if level)
        others = [level for level in (*seen, *hidden) if level and level.colours != level.said]
        if others:
            self.warnings += (_other_colours(self.path.name, others[0]),)
        self.reader_decides = bool(hidden or others) or any(map(self._slide.interpolates, own))

    def _own_levels(self, images: list[TiffImage]) -> list[TiffLevel | None]:
        """Open the levels that OpenSlide sees; None for those that are left to it."""
        known = level_images(images, self.vendor)
        first = TiffLevel(images[0].directory)
        self.tile_size = first.layout.tile_width, first.layout.tile_height
        if first.size != self.level_sizes[0]:
            raise TiffError("its level 0 is not the one that OpenSlide sees")
        levels: list[TiffLevel | None] = [first]
        for number, size in enumerate(self.level_sizes[1:], start=1):
            found = [image for image in known if image.facts.size == size]
            try:
                unique = len(found) == 1 and not self._slide.padded(number)
                levels.append(TiffLevel(found[0].directory) if unique else None)
            except TiffError:
                levels.append(None)
        if self.vendor == "aperio":
            _leave_rendered(levels)
        left = [size for size, level in zip(self.level_sizes, levels, strict=True) if level is None]
        for image in known:
            if image.facts.size in left and (wrong := wrong_colours(image.directory)):
                raise TiffError(str(wrong))
        return levels

    def _add_hidden_levels(self, first: TiffImage) -> list[TiffLevel]:
        """Add the levels in SubIFDs of level 0, which OpenSlide does not see."""
        if self.vendor == "aperio":
            return []
        try:
            offsets = first.directory.numbers(tiff.SUB_IFDS, MOST_HIDDEN).tolist()
            images = tiff_images([self._file.directory(offset) for offset in offsets])
            images.sort(key=lambda image: -image.facts.size[0])
            opened = [TiffLevel(image.directory) for image in images]
        except TiffError:
            return []  # use only OpenSlide's levels
        hidden = [replace(image.facts, name=f"level {n}") for n, image in enumerate(images, start=1)]

        def read(level: int, x: int, y: int, w: int, h: int) -> UInt8Array:
            return opened[level - 1].read(x, y, w, h) if level else self.read(0, x, y, w, h)

        settled = believed_levels([first.facts, *hidden], read)
        directories = [image.directory for image in (first, *images)]
        leave_out_lacking(settled, lambda number: tiff_tiles(directories[number]), read, self.path)
        self.warnings += tuple(settled.warnings)
        self.level_sizes, self.level_scales = settled.sizes, settled.scales
        self.left_out += tuple(settled.left_out)
        self.levels_decide = bool(settled.left_out)
        self.levels_state = settled.state
        return [opened[number - 1] for number in settled.numbers[1:]]


def _other_colours(name: str, level: TiffLevel) -> str:
    said, held = NAMES[level.said], NAMES[level.colours]
    return f"{name}: its tag PhotometricInterpretation says {said}, but its JPEG tiles hold {held}: read so"


def _leave_rendered(levels: list[TiffLevel | None]) -> None:
    """Leave to OpenSlide the levels that it renders from finer ones.

    In Aperio slides these are the levels below one with missing tiles.
    """
    first = next((i for i, level in enumerate(levels) if level is None or level.missing.any()), len(levels))
    for i in range(max(1, first), len(levels)):
        levels[i] = None
