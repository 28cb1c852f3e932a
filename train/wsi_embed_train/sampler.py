"""Which tiles make which batch: known of every batch of every epoch without any state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler


class TileSampler(Sampler[list[tuple[int, int]]]):
    """Batches of tiles for one process, in an order that depends on seed and epoch alone.

    Tiles of one group (a region of a slide, read at once) follow each other; groups come in random order.
    Any epoch can be entered at any batch: what an exact resume needs. Tiles that fill no batch are left
    out, in every epoch others.

    Args:
        groups: Numbers of the tiles that belong together, all in all each tile once.
        batch: Tiles that each process takes at a time.
        seed: Of the order.
        rank: Of this process.
        processes: How many share the tiles.
        accumulate: Batches a step; an epoch has whole steps only.
    """

    def __init__(
        self,
        groups: Sequence[range],
        batch: int,
        seed: int,
        *,
        rank: int = 0,
        processes: int = 1,
        accumulate: int = 1,
    ) -> None:
        self._starts = np.array([group.start for group in groups], np.int64)
        self._sizes = np.array([len(group) for group in groups], np.int64)
        self.batch, self.seed, self.rank, self.processes = batch, seed, rank, processes
        self._steps = int(self._sizes.sum()) // (batch * processes * accumulate)
        self._batches = self._steps * accumulate
        self.epoch = self._first = 0

    @property
    def sampler(self) -> TileSampler:
        """Itself: where Lightning looks for `set_epoch`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of an epoch, unless `start_at` went into it before."""
        if epoch != self.epoch:
            self.epoch, self._first = epoch, 0

    def start_at(self, epoch: int, batch: int) -> None:
        """Enter an epoch at a batch, from 0."""
        self.epoch, self._first = epoch, batch

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return self._batches

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        """(number, epoch) of the tiles of each batch."""
        epoch, first = self.epoch, self._first
        self._first = 0
        order = self._order(epoch)
        whole = self.batch * self.processes
        for number in range(first, self._batches):
            start = number * whole + self.rank * self.batch
            yield [(int(tile), epoch) for tile in order[start : start + self.batch]]

    def _order(self, epoch: int) -> npt.NDArray[np.int64]:
        groups = np.random.default_rng([self.seed, epoch]).permutation(len(self._starts))
        sizes = self._sizes[groups]
        ends = sizes.cumsum()
        within = np.arange(ends[-1]) - np.repeat(ends - sizes, sizes)
        order: npt.NDArray[np.int64] = np.repeat(self._starts[groups], sizes) + within
        return order
