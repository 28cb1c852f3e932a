"""Which tiles a source has, by number: plain values, nothing is open."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from wsi_embed.errors import SlideError
from wsi_embed.jobs.failures import without_folders
from wsi_embed_train.data.regions import Int64Array
from wsi_embed_train.data.slides import SlideTiles


@dataclass
class TileList:
    """The images first, then the slides' tiles, region by region.

    Attributes:
        root: What names of images are relative to.
        images: Names of the tile images.
        slides: With a tile each at least.
        labels: The class of each tile, int64 [N]; None without labels.
        firsts: First tile of each slide, and the number of tiles, int64 [slides + 1].
    """

    root: Path
    images: list[str]
    slides: list[SlideTiles]
    labels: Int64Array | None = None
    firsts: Int64Array = field(init=False)

    def __post_init__(self) -> None:
        counts = [len(self.images), *(len(slide) for slide in self.slides)]
        self.firsts = np.cumsum(counts, dtype=np.int64)

    def __len__(self) -> int:
        return int(self.firsts[-1])

    def groups(self) -> list[range]:
        """Numbers of tiles that are read together: of an image one, of a slide those of a region."""
        groups = [range(number, number + 1) for number in range(len(self.images))]
        for first, slide in zip(self.firsts.tolist(), self.slides, strict=False):
            ends = [*slide.starts.tolist(), len(slide)]
            groups += [range(first + start, first + stop) for start, stop in itertools.pairwise(ends)]
        return groups

    def place(self, number: int) -> tuple[SlideTiles, int]:
        """Which slide a tile is of, and which of its tiles it is."""
        slide = int(np.searchsorted(self.firsts, number, side="right")) - 1
        return self.slides[slide], number - int(self.firsts[slide])

    def first_of_group(self, number: int) -> int:
        """First tile of the group that a tile is in."""
        if number < len(self.images):
            return number
        slide, row = self.place(number)
        return number - row + int(slide.starts[slide.region_of(row)])

    def path(self, number: int) -> Path:
        """The file that a tile is in."""
        if number < len(self.images):
            return self.root / self.images[number]
        return self.place(number)[0].item.path

    def name(self, number: int) -> str:
        """What people know a tile by; never a whole path."""
        if number < len(self.images):
            name = self.images[number]
            return Path(name).name if Path(name).is_absolute() else name
        slide, row = self.place(number)
        x, y = np.rint(slide.level_xy[row] * np.array(slide.scale)).astype(int).tolist()
        return f"{slide.item.name} at ({x}, {y})"

    def reason(self, number: int, error: SlideError) -> str:
        """Why a tile cannot be read, with its name."""
        return without_folders(str(error), {self.path(number): self.name(number)})
