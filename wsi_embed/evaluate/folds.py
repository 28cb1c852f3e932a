"""Folds of labelled tiles for cross-validation, disjoint by group and stratified by class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wsi_embed.errors import UsageError
from wsi_embed.evaluate.tile_set import Strings, TileSet
from wsi_embed.util.seed import check_seed
from wsi_embed.util.text import argument, counted, names_of

Int = npt.NDArray[np.intp]
FOLDS = 5


@dataclass(frozen=True)
class Folds:
    """Labelled tiles in folds. Each fold is tested once, with the others as training tiles.

    Attributes:
        tiles: The tiles. All tiles of a group are in the same fold.
        of_tile: Fold of each tile, int [N], from 0.
        count: Number of folds.
        seed: Seed of the folds.
    """

    tiles: TileSet
    of_tile: Int
    count: int
    seed: int = 0

    def __iter__(self) -> Iterator[tuple[Int, Int]]:
        """Yield the rows of the training tiles and of the test tiles of each fold."""
        for fold in range(self.count):
            yield np.flatnonzero(self.of_tile != fold), np.flatnonzero(self.of_tile == fold)

    def check(self, k: int = 1) -> list[str]:
        """Check that every fold can be evaluated.

        Args:
            k: Number of neighbours that will be searched for.

        Returns:
            Notes on possible problems, one line each.

        Raises:
            UsageError: If a fold has fewer than `k` training tiles.
        """
        fewest = min(len(train) for train, _ in self)
        if not 1 <= k <= fewest:
            raise UsageError(
                f"there are {counted(fewest, 'train tile')} in one of the folds",
                where=argument("k", k),
                remedy=f"give 1 to {fewest}",
            )
        return [*self._alike(), *self._absent()]

    def _alike(self) -> list[str]:
        """Return a note on patients, or else slides, that are in several folds."""
        for what, values in (("patient", self.tiles.patients), ("slide", self.tiles.slides)):
            pairs = {(str(value), fold) for value, fold in zip(values, self.of_tile.tolist(), strict=True)}
            folds_of = Counter(name for name, _ in pairs if name)
            if several := sorted(name for name, number in folds_of.items() if number > 1):
                return [
                    f"{counted(len(several), what)} in several folds ({names_of(several)}): their tiles are "
                    "alike, and the scores too good"
                ]
        return []

    def _absent(self) -> list[str]:
        """Return notes on classes that folds do not train or do not test."""
        labels, notes = self.tiles.labels, list[str]()
        for name in np.unique(labels).tolist():
            tested = set(self.of_tile[labels == name].tolist())
            if len(tested) == 1:
                notes.append(f"all tiles of {name} are in one fold: it is never predicted")
            elif len(tested) < self.count:
                without = counted(self.count - len(tested), "fold")
                notes.append(f"{name} has too few groups: no test tile in {without}")
        return notes


def draw_folds(tiles: TileSet, count: int = FOLDS, seed: int = 0) -> Folds:
    """Divide tiles into folds by group.

    Args:
        tiles: The tiles, each with a group.
        count: Number of folds.
        seed: Seed of the folds.

    Returns:
        The folds. They do not depend on the order of the tiles.

    Raises:
        UsageError: If the seed is out of range, a tile has no group, all tiles have one label, there are
            fewer groups than folds, or all tiles of a class are in one group.
    """
    check_seed(seed)
    tiles.check_classes()
    if not (tiles.groups != "").all():
        missing = np.flatnonzero(tiles.groups == "")
        raise UsageError(
            f"{counted(len(missing), 'tile')} without a group, such as {tiles.names[missing[0]]}",
            where=tiles.source,
            remedy="add it, or leave the tile out",
        )
    _check_spread(tiles)
    groups = len(np.unique(tiles.groups))
    if not 2 <= count <= groups:
        remedy = f"give {'2 to ' * (groups > 2)}{groups}"
        raise UsageError(
            f"{tiles.source} has {counted(groups, 'group')}", where=argument("folds", count), remedy=remedy
        )
    return Folds(tiles, stratified_folds(tiles.labels, tiles.groups, count, seed), count, seed)


def _check_spread(tiles: TileSet) -> None:
    """Check that every class has tiles in two groups: one to learn from, one to test."""
    alone = [
        f"{name} ({of[0]})"
        for name in np.unique(tiles.labels)
        if len(of := np.unique(tiles.groups[tiles.labels == name])) == 1
    ]
    if alone:
        raise UsageError(
            f"each class needs two groups, to learn from and to test; in one group only: {names_of(alone)}",
            where=tiles.source,
            remedy="add groups, or choose other classes with `classes=`",
        )


def stratified_folds(labels: Strings, groups: Strings, count: int, seed: int) -> Int:
    """Return the fold of each tile, such that the folds have similar shares of each class.

    Groups are placed one by one, the large ones first and those of about the same size in random order. Each
    goes into the fold that then varies least from the others in its shares of the classes, as in
    scikit-learn's `StratifiedGroupKFold`; of equal folds, into the one with the fewest tiles.

    Args:
        labels: N labels.
        groups: N names of groups.
        count: Number of folds, at most the number of groups.
        seed: Seed of the order of groups.
    """
    of_class, of_group = (np.unique(values, return_inverse=True)[1] for values in (labels, groups))
    tiles = np.zeros((of_group.max() + 1, of_class.max() + 1))
    np.add.at(tiles, (of_group, of_class), 1)
    share = tiles / tiles.sum(0)  # of the tiles of each class, so that rare classes count as much
    order = np.random.default_rng(seed).permutation(len(tiles))
    size = np.floor(np.log2(share.sum(1)))  # equal if within a factor of two
    order = order[np.argsort(-size[order], kind="stable")]
    sums, sizes, fold_of = np.zeros((count, share.shape[1])), np.zeros(count), np.zeros(len(tiles), np.intp)
    for group in order.tolist():
        # the sum of squares of a fold grows by 2 sums * share and a constant
        fold = int(np.lexsort((sizes, sums @ share[group]))[0])
        fold_of[group] = fold
        sums[fold] += share[group]
        sizes[fold] += tiles[group].sum()
    return fold_of[of_group]
