"""The training data set: tiles of images and slides, as uint8, in any order, from any process."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from wsi_embed.errors import SlideError, WsiEmbedError
from wsi_embed.slide import UInt8Array
from wsi_embed.slide.tile_images import fit_image, read_image
from wsi_embed_train.data.reader import OpenSlides, read_together
from wsi_embed_train.data.regions import UNSHIFTED, shift_of
from wsi_embed_train.data.tile_list import TileList

# Tiles that are tried in the place of one that cannot be read.
TRIES = 16
# What random numbers are for, so that no two uses draw the same.
SHIFT, REPLACEMENT = 1, 2


class Sample(NamedTuple):
    """One tile.

    Attributes:
        tile: uint8 [S, S, 3].
        label: Its class, where there are labels.
        bad: Name of the tile that could not be read, where this one takes its place.
    """

    tile: UInt8Array
    label: int | None
    bad: str | None


class TileBatch(NamedTuple):
    """A batch of tiles.

    Attributes:
        tiles: uint8 [B, S, S, 3].
        labels: int64 [B]; None without labels.
        bad: Names of tiles that could not be read and were replaced by others.
    """

    tiles: Tensor
    labels: Tensor | None
    bad: list[str]


class TrainingTiles(Dataset[Sample]):
    """Tiles by (number, epoch). What comes depends on that and the seed only, in whatever process.

    For `torch.utils.data.DataLoader`, whose batch sampler yields lists of such pairs. Images of slides are
    opened by the process that reads them, and never pickled. A region of a slide is read in one piece for
    those of its tiles that are wanted at once, and lies elsewhere in every epoch: moved at random by half a
    tile at most, within what was scanned and with the tissue. In the epoch `UNSHIFTED` it lies as in
    extraction.

    Args:
        tiles: Which tiles there are.
        side: S.
        tile_px: Images that are smaller are bad.
        seed: Of shifts and replacements.
        reader: Who reads slides; see `open_slide`.

    Attributes:
        side: S, the side of the tiles handed over.
        mean: Of a sample, RGB in [0, 1].
        std: Likewise.
        class_names: Where there are labels.
        slide_ids: Of the training slides.
        warnings: What to look at, one line each.
    """

    def __init__(self, tiles: TileList, side: int, tile_px: int, seed: int, reader: str = "auto") -> None:
        self.tiles, self.side = tiles, side
        self.mean: tuple[float, ...] = (0.5, 0.5, 0.5)
        self.std: tuple[float, ...] = (0.25, 0.25, 0.25)
        self.class_names: list[str] | None = None
        self.slide_ids: list[str] = []
        self.warnings: list[str] = []
        self.facts: dict[str, Any] = {}
        self._tile_px, self._seed = tile_px, seed
        self._slides = OpenSlides(reader=reader)

    def __len__(self) -> int:
        return len(self.tiles)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "groups"}

    @functools.cached_property
    def groups(self) -> list[range]:
        """Numbers of tiles that are read together: of an image one, of a slide those of a region."""
        return self.tiles.groups()

    def about(self) -> dict[str, Any]:
        """What the run and the exported model say of the data, as plain values."""
        return {
            **self.facts,
            "tiles": len(self),
            "images": len(self.tiles.images),
            "slide_tiles": len(self) - len(self.tiles.images),
            "mean": self.mean,
            "std": self.std,
            **({"classes": self.class_names} if self.class_names else {}),
            "slide_ids": self.slide_ids,
        }

    def __getitem__(self, wanted: tuple[int, int]) -> Sample:
        return self.__getitems__([wanted])[0]

    def __getitems__(self, wanted: Sequence[tuple[int, int]]) -> list[Sample]:
        """Read tiles.

        Args:
            wanted: (number, epoch) of each.

        Returns:
            In the order wanted. In the place of a tile that cannot be read is another one of the source.

        Raises:
            WsiEmbedError: Nor can those that were tried in its place.
        """
        found = self.read(wanted)
        return [self._sample(n, epoch, found[n, epoch]) for n, epoch in wanted]

    def read(self, wanted: Sequence[tuple[int, int]]) -> dict[tuple[int, int], UInt8Array | SlideError]:
        """Tiles by (number, epoch), uint8 [S, S, 3] each, or why one cannot be read."""
        together: dict[tuple[int, int], list[int]] = defaultdict(list)
        for number, epoch in sorted(set(wanted)):  # so that tiles of a slide follow each other
            together[self.tiles.first_of_group(number), epoch].append(number)
        found: dict[tuple[int, int], UInt8Array | SlideError] = {}
        for (first, epoch), numbers in together.items():
            read = self._read_group(first, epoch, numbers)
            found.update(((number, epoch), tile) for number, tile in zip(numbers, read, strict=True))
        return found

    def close(self) -> None:
        """Close the slides; reading opens them again."""
        self._slides.close()

    @staticmethod
    def collate(samples: Sequence[Sample]) -> TileBatch:
        """Make a batch of samples."""
        tiles = torch.from_numpy(np.stack([sample.tile for sample in samples]))
        labels = [sample.label for sample in samples if sample.label is not None]
        bad = [sample.bad for sample in samples if sample.bad is not None]
        return TileBatch(tiles, torch.tensor(labels) if labels else None, bad)

    def _read_group(self, first: int, epoch: int, numbers: list[int]) -> Sequence[UInt8Array | SlideError]:
        if first < len(self.tiles.images):
            return [self._read_image(first)]
        slide, row = self.tiles.place(first)
        shift = (0, 0)
        if epoch != UNSHIFTED:
            shift = shift_of(self._random(SHIFT, epoch, first), slide.room[slide.region_of(row)])
        return read_together(self._slides, slide, [row + n - first for n in numbers], shift)

    def _read_image(self, number: int) -> UInt8Array | SlideError:
        path = self.tiles.path(number)
        try:
            return fit_image(read_image(path), self.side, self._tile_px, path)
        except SlideError as error:
            return error

    def _sample(self, number: int, epoch: int, tile: UInt8Array | SlideError) -> Sample:
        if not isinstance(tile, SlideError):
            return Sample(tile, self._label(number), None)
        rng, reason = self._random(REPLACEMENT, epoch, number), self.tiles.reason(number, tile)
        for other in rng.integers(len(self), size=TRIES).tolist():
            tile = self.read([(other, epoch)])[other, epoch]
            if not isinstance(tile, SlideError):
                return Sample(tile, self._label(other), self.tiles.name(number))
        raise WsiEmbedError(
            f"{reason}; nor can any of {TRIES} tiles that were drawn in its place: check the source"
        )

    def _label(self, number: int) -> int | None:
        return None if self.tiles.labels is None else int(self.tiles.labels[number])

    def _random(self, use: int, epoch: int, number: int) -> np.random.Generator:
        return np.random.default_rng((use, self._seed, epoch - UNSHIFTED, number))
