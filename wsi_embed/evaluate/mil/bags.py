"""Features of bags, kept in memory up to a limit and read from the store beyond it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from wsi_embed.bags.damage import damage_named
from wsi_embed.bags.labels import LabelledBags
from wsi_embed.errors import StoreError
from wsi_embed.store import Store
from wsi_embed.util.progress import tracked
from wsi_embed.util.text import counted

GIB = 2**30
Features = npt.NDArray[np.floating]
Float = npt.NDArray[np.float32]


class BagFeatures(Sequence[Features]):
    """Features of labelled bags, [N, D] each, in the dtype of the store.

    The constructor reads every bag once. Bags beyond the memory limit are read again at every access.

    Args:
        store: Store with the bags.
        bags: The bags.
        memory: Maximum size of the features in memory, bytes.

    Attributes:
        mean: Mean features of each bag, float32 [bags, D].
        square: Mean squared features of each bag, float32 [bags, D].
        sizes: Number of tiles of each bag, int64 [bags].
        kept: Number of bags in memory.

    Raises:
        StoreError: If a bag is damaged, or a feature is not finite.
    """

    def __init__(self, store: Store, bags: LabelledBags, memory: int = 8 * GIB) -> None:
        self._store, self._bags = store, bags
        self._in_memory: dict[int, Features] = {}
        means, squares, sizes = [], [], []
        for number in tracked(range(len(bags)), "bags read"):
            features = self._read(number)
            self._check(number, features)
            sizes.append(len(features))
            rows = features.astype(np.float32)
            means.append(rows.mean(0))
            squares.append(np.square(rows).mean(0))
            if features.nbytes <= memory:
                memory -= features.nbytes
                self._in_memory[number] = features
        self.mean, self.square = np.stack(means), np.stack(squares)
        self.sizes = np.array(sizes, np.int64)

    def __len__(self) -> int:
        return len(self._bags)

    def __getitem__(self, number: int) -> Features:  # type: ignore[override]  # no slices of bags
        return self._in_memory[number] if number in self._in_memory else self._read(number)

    @property
    def kept(self) -> int:
        """Number of bags in memory."""
        return len(self._in_memory)

    @property
    def dim(self) -> int:
        """Number of features D of a tile."""
        return int(self.mean.shape[1])

    def stream(self, numbers: Sequence[int]) -> Iterator[tuple[int, Features]]:
        """Yield bags one by one with their numbers, and read the next bag ahead."""
        with ThreadPoolExecutor(1, "wsi-embed-bags") as pool:
            ahead = [pool.submit(self.__getitem__, number) for number in numbers[:1]]
            for place, number in enumerate(numbers):
                features = ahead.pop().result()
                if place + 1 < len(numbers):
                    ahead.append(pool.submit(self.__getitem__, numbers[place + 1]))
                yield number, features

    def statistics(self, numbers: npt.NDArray[np.intp]) -> tuple[Float, Float]:
        """Compute the mean and standard deviation of features over bags of equal weight.

        Args:
            numbers: Numbers of the bags.

        Returns:
            Mean and standard deviation, float32 [D] each. The deviation of a constant feature is set to 1.
        """
        mean = self.mean[numbers].mean(0, dtype=np.float64)
        variance = self.square[numbers].mean(0, dtype=np.float64) - mean**2
        spread = np.sqrt(np.maximum(variance, 0))
        return mean.astype(np.float32), np.where(spread > 1e-6, spread, 1).astype(np.float32)

    def _read(self, number: int) -> Features:
        with damage_named(self._bags[number].id):
            return self._bags.open(self._store, number).features[:]

    def _check(self, number: int, features: Features) -> None:
        bad = np.flatnonzero(~np.isfinite(features).all(1))
        if len(bad):
            raise StoreError(
                f"features of {counted(len(bad), 'tile')} are not finite, such as those of tile {bad[0]}",
                where=self._bags[number].id,
                remedy="run wsi-embed verify, then delete that slide and embed it again",
            )


Describe = Callable[[Store, LabelledBags], npt.NDArray[np.float32]]
