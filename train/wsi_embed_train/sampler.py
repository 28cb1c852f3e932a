"""Assignment of tiles to batches, computed for any batch of any epoch without state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler


class TileSampler(Sampler[list[tuple[int, int]]]):
    """Sampler of the batches of one process, in an order that depends only on seed and epoch.

    Tiles of one group (a region of a slide, read at once) follow each other; groups come in random order.
    An epoch can be entered at any batch, for an exact resume. Tiles that do not fill a last batch are
    skipped, different ones in each epoch.

    Args:
        groups: Indices of the tiles of each group. Together, the groups contain every tile once.
        batch: Number of tiles that each process takes at a time.
        seed: Seed of the order.
        rank: Rank of this process.
        processes: Number of processes that share the tiles.
        accumulate: Number of batches in a step. An epoch consists of whole steps.
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
        """The sampler itself, on which Lightning calls `set_epoch`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Move to the start of an epoch, unless `start_at` has already moved into it."""
        if epoch != self.epoch:
            self.epoch, self._first = epoch, 0

    def start_at(self, epoch: int, batch: int) -> None:
        """Move to a batch of an epoch; both count from 0."""
        self.epoch, self._first = epoch, batch

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return self._batches

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        """Yield the batches of the epoch, each a list of (tile index, epoch)."""
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
