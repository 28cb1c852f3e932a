"""The tiles of a source by index, as plain values without open files."""

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
    """List of tiles: first the images, then the tiles of the slides, region by region.

    Attributes:
        root: Folder to which the names of images are relative.
        images: Names of the tile images.
        slides: Slides that have tiles.
        labels: Class of each tile, int64 [N]; None without labels.
        firsts: Index of the first tile of each slide, and the number of all tiles, int64 [slides + 1].
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
        """Return the indices of tiles that are read together: one for an image, a region for a slide."""
        groups = [range(number, number + 1) for number in range(len(self.images))]
        for first, slide in zip(self.firsts.tolist(), self.slides, strict=False):
            ends = [*slide.starts.tolist(), len(slide)]
            groups += [range(first + start, first + stop) for start, stop in itertools.pairwise(ends)]
        return groups

    def place(self, number: int) -> tuple[SlideTiles, int]:
        """Return the slide that contains a tile, and the row of the tile in it."""
        slide = int(np.searchsorted(self.firsts, number, side="right")) - 1
        return self.slides[slide], number - int(self.firsts[slide])

    def first_of_group(self, number: int) -> int:
        """Return the first tile of the group that contains a tile."""
        if number < len(self.images):
            return number
        slide, row = self.place(number)
        return number - row + int(slide.starts[slide.region_of(row)])

    def path(self, number: int) -> Path:
        """Return the file that contains a tile."""
        if number < len(self.images):
            return self.root / self.images[number]
        return self.place(number)[0].item.path

    def name(self, number: int) -> str:
        """Return a readable name of a tile, without folders outside the source."""
        if number < len(self.images):
            name = self.images[number]
            return Path(name).name if Path(name).is_absolute() else name
        slide, row = self.place(number)
        x, y = np.rint(slide.level_xy[row] * np.array(slide.scale)).astype(int).tolist()
        return f"{slide.item.name} at ({x}, {y})"

    def reason(self, number: int, error: SlideError) -> str:
        """Return the message of an error with the name of the tile instead of its path."""
        return without_folders(str(error), {self.path(number): self.name(number)})
