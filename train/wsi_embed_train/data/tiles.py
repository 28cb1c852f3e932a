"""The training data set: uint8 tiles of images and slides, in any order and from any process."""

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

# Number of replacements to try for a tile that cannot be read.
TRIES = 16
# Purposes of random numbers, part of the seed, so that different uses get different numbers.
SHIFT, REPLACEMENT = 1, 2


class Sample(NamedTuple):
    """One tile.

    Attributes:
        tile: uint8 [S, S, 3].
        label: Class of the tile; None without labels.
        bad: Name of the unreadable tile that this one replaces; None if it replaces none.
        number: Index of the tile in the data set.
    """

    tile: UInt8Array
    label: int | None
    bad: str | None
    number: int


class TileBatch(NamedTuple):
    """A batch of tiles.

    Attributes:
        tiles: uint8 [B, S, S, 3].
        labels: int64 [B]; None without labels.
        bad: Names of the tiles that could not be read and were replaced.
        numbers: Index of each tile in the data set.
    """

    tiles: Tensor
    labels: Tensor | None
    bad: list[str]
    numbers: list[int]


class TrainingTiles(Dataset[Sample]):
    """Data set of tiles by (index, epoch), which together with the seed determine the pixels.

    It is meant for `torch.utils.data.DataLoader` with a batch sampler that yields lists of such pairs. Each
    process opens the slides it reads; open slides are never pickled. The requested tiles of a region are read
    together. In every epoch a region is shifted at random by up to half a tile, within the scanned area and
    the tissue. In the epoch `UNSHIFTED` its tiles are those of the feature extraction.

    Args:
        tiles: List of the tiles.
        side: Side S of the tiles to return, pixels.
        tile_px: Minimum side of an image; smaller images count as unreadable.
        seed: Seed of the shifts and replacements.
        reader: Reader of slides; see `open_slide`.

    Attributes:
        side: Side S of the returned tiles, pixels.
        mean: RGB mean of a sample, in [0, 1].
        std: RGB standard deviation of a sample, in [0, 1].
        class_names: Names of the classes; None without labels.
        slide_ids: Ids of the training slides.
        warnings: Warnings about the data, one line each.
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
        """Indices of tiles that are read together: one for an image, a region for a slide."""
        return self.tiles.groups()

    def about(self) -> dict[str, Any]:
        """Return the description of the data for the run and the exported model, as plain values."""
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
        """Read tiles, replacing those that cannot be read by random other ones.

        Args:
            wanted: (index, epoch) of each tile.

        Returns:
            Tiles in the requested order.

        Raises:
            WsiEmbedError: If a tile and all replacements tried for it cannot be read.
        """
        found = self.read(wanted)
        return [self._sample(n, epoch, found[n, epoch]) for n, epoch in wanted]

    def read(self, wanted: Sequence[tuple[int, int]]) -> dict[tuple[int, int], UInt8Array | SlideError]:
        """Read tiles by (index, epoch), uint8 [S, S, 3] each, or the error if one cannot be read."""
        together: dict[tuple[int, int], list[int]] = defaultdict(list)
        for number, epoch in sorted(set(wanted)):  # sorted, so that tiles of a slide follow each other
            together[self.tiles.first_of_group(number), epoch].append(number)
        found: dict[tuple[int, int], UInt8Array | SlideError] = {}
        for (first, epoch), numbers in together.items():
            read = self._read_group(first, epoch, numbers)
            found.update(((number, epoch), tile) for number, tile in zip(numbers, read, strict=True))
        return found

    def close(self) -> None:
        """Close the slides; reading reopens them."""
        self._slides.close()

    @staticmethod
    def collate(samples: Sequence[Sample]) -> TileBatch:
        """Collate samples into a batch."""
        tiles = torch.from_numpy(np.stack([sample.tile for sample in samples]))
        labels = [sample.label for sample in samples if sample.label is not None]
        bad = [sample.bad for sample in samples if sample.bad is not None]
        numbers = [sample.number for sample in samples]
        return TileBatch(tiles, torch.tensor(labels) if labels else None, bad, numbers)

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
            return Sample(tile, self._label(number), None, number)
        rng, reason = self._random(REPLACEMENT, epoch, number), self.tiles.reason(number, tile)
        for other in rng.integers(len(self), size=TRIES).tolist():
            tile = self.read([(other, epoch)])[other, epoch]
            if not isinstance(tile, SlideError):
                return Sample(tile, self._label(other), self.tiles.name(number), other)
        raise WsiEmbedError(
            reason, remedy=f"nor can any of {TRIES} tiles that were drawn in its place: check the source"
        )

    def _label(self, number: int) -> int | None:
        return None if self.tiles.labels is None else int(self.tiles.labels[number])

    def _random(self, use: int, epoch: int, number: int) -> np.random.Generator:
        return np.random.default_rng((use, self._seed, epoch - UNSHIFTED, number))
