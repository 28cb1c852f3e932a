"""Search for similar tiles by the cosine of their features: exact, or with an index for very many tiles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wsi_embed.bags.damage import damage_named
from wsi_embed.errors import UsageError
from wsi_embed.explore import tile_index
from wsi_embed.explore.feature_table import BLOCK, IN_MEMORY, FeatureTable, OnProgress, open_features
from wsi_embed.explore.tile_index import MANY, TileIndex
from wsi_embed.store import Store
from wsi_embed.util.text import argument

Float64 = npt.NDArray[np.float64]
Tile = tuple[str, int]
# Weights of the mean of the examples and of the counterexamples: Salton and Buckley, "Improving retrieval
# performance by relevance feedback", JASIS 41, 1990.
LIKE, UNLIKE = 0.75, 0.25
# Decimals of a cosine beyond which tiles are equally similar.
DECIMALS = 9


@dataclass(frozen=True)
class SimilarTile:
    """Tile that was found.

    Attributes:
        slide_id: Slide id.
        tile: Row of the tile in the bag of the slide.
        x: Left side, level-0 pixels.
        y: Upper side, level-0 pixels.
        cosine: Cosine of its features and the direction that was searched.
    """

    slide_id: str
    tile: int
    x: int
    y: int
    cosine: float


class TileSearch:
    """Search over all tiles of a store, for several searches; see `similar_tiles`.

    The features are read once. If they take more than 256 MiB (131,072 tiles with 512 features), they are
    written to a file, which later searches map into memory; see `open_features`.

    Args:
        store: The store.
        cache: Folder in which `<store>-search` is made for the file; that of the store by default.
        in_memory: Largest size of the features, bytes, for which no file is made.
        on_progress: Function called with the number of slides read, and the number of all slides.
        index: Whether to search with an index (extra `index`), which may miss some of the most similar tiles;
            by default for more than a million tiles, if usearch is installed.

    Attributes:
        table: Features of all tiles.
        index: Index of the tiles; None if the search is exact.

    Raises:
        UsageError: If no slide has features that can be searched, or a file cannot be written.
        MissingExtraError: If an index is wanted, but usearch is not installed.

    Example:
        >>> from wsi_embed import TileSearch, open_store
        >>> search = TileSearch(open_store("feats.zarr"))
        >>> search.similar([("a", 0)], k=2)[0].cosine <= 1
        True
    """

    def __init__(
        self,
        store: Store,
        *,
        cache: Path | None = None,
        in_memory: int = IN_MEMORY,
        on_progress: OnProgress | None = None,
        index: bool | None = None,
    ) -> None:
        self.store = store
        self.table: FeatureTable = open_features(store, cache, in_memory=in_memory, on_progress=on_progress)
        lengths = self.table.lengths
        with np.errstate(divide="ignore"):
            # a tile without a direction has the cosine 0 with every other one
            self._inverse = np.where(lengths > 0, 1 / lengths, 0).astype(np.float32)
        wanted = len(self.table) > MANY and tile_index.is_installed() if index is None else index
        self.index: TileIndex | None = TileIndex(self.table, on_progress) if wanted else None

    def similar(
        self,
        like: Sequence[Tile],
        unlike: Sequence[Tile] = (),
        *,
        k: int = 10,
        per_slide: int | None = None,
    ) -> list[SimilarTile]:
        """Return the tiles most similar to examples, without these; see `similar_tiles`.

        Args:
            like: Examples: slide id, and row of the tile in its bag.
            unlike: Counterexamples.
            k: Number of tiles.
            per_slide: Largest number of tiles of one slide; any number by default. The search is exact then,
                with an index too.

        Raises:
            UsageError: If an example does not exist, there is none, or an argument is out of range.
            StoreError: If the store is damaged.
        """
        for name, number in (("k", k), ("per_slide", per_slide)):
            if number is not None and number < 1:
                raise UsageError("at least 1 is needed", where=argument(name, number))
        examples = [[self.table.row(*tile) for tile in tiles] for tiles in (like, unlike)]
        direction = self._direction(*examples)
        given = [*examples[0], *examples[1]]
        if self.index is not None and per_slide is None:
            rows = np.setdiff1d(self.index.candidates(direction, k + len(given)), given)
        else:
            scores = self._scores(direction)
            scores[given] = -np.inf
            rows = self._candidates(scores, k, per_slide)
        cosines = self._cosines(rows, direction)
        return self._tiles(rows, cosines, k, per_slide)

    def _direction(self, like: Sequence[int], unlike: Sequence[int]) -> Float64:
        """Return the direction of Rocchio's query, float64 [D]."""
        if not like:
            raise UsageError("a search needs an example", where=argument("like", []))
        mean = self._mean(like)
        if unlike:
            mean = LIKE * mean - UNLIKE * self._mean(unlike)
        length = float(np.linalg.norm(mean))
        if length < 1e-9:
            raise UsageError("the examples have no common direction", remedy="choose other examples")
        return np.asarray(mean / length, np.float64)

    def _mean(self, rows: Sequence[int]) -> Float64:
        """Return the mean of the features of tiles, each scaled to length 1."""
        features = self.table.features[list(rows)].astype(np.float64)
        lengths = np.linalg.norm(features, axis=1, keepdims=True)
        return np.asarray((features / np.where(lengths > 0, lengths, 1)).mean(0), np.float64)

    def _scores(self, direction: Float64) -> npt.NDArray[np.float32]:
        """Return the cosine of each tile in float32, [N]."""
        scores, wanted = np.empty(len(self.table), np.float32), direction.astype(np.float32)
        for block in self.table.blocks():
            np.matmul(self.table.features[block], wanted, out=scores[block])
        scores *= self._inverse
        return scores

    def _candidates(
        self, scores: npt.NDArray[np.float32], k: int, per_slide: int | None
    ) -> npt.NDArray[np.int64]:
        """Return the rows that may be among the k best once the cosines are computed in float64.

        The error of a float32 dot product of unit vectors is at most their length times 2^-24 (Higham,
        "Accuracy and stability of numerical algorithms", 2002, 3.1), so rows within twice this of the k-th
        are candidates.
        """
        margin = 2 * (self.table.features.shape[1] + 4) * 2.0**-24
        if per_slide is None:
            ranges = [(0, len(scores))]
        else:
            ranges = list(zip(self.table.starts[:-1].tolist(), self.table.starts[1:].tolist(), strict=True))
        found = []
        for first, last in ranges:
            part, most = scores[first:last], min(k, per_slide or k)
            least = np.partition(part, -most)[-most] - margin if most < len(part) else -np.inf
            found.append(first + np.flatnonzero((part >= least) & (part > -np.inf)))
        return np.concatenate(found)

    def _cosines(self, rows: npt.NDArray[np.int64], direction: Float64) -> Float64:
        """Return the cosines of tiles in float64, rounded so that equal tiles have equal ones."""
        cosines = np.zeros(len(rows))
        for start in range(0, len(rows), BLOCK // 8):
            part = slice(start, start + BLOCK // 8)
            features = self.table.features[rows[part]].astype(np.float64)
            # not a matrix product, whose last digit depends on where a row lies in the matrix
            lengths = np.sqrt((features * features).sum(1))
            cosines[part] = (features * direction).sum(1) / np.where(lengths > 0, lengths, 1)
        return cosines.round(DECIMALS)

    def _tiles(
        self, rows: npt.NDArray[np.int64], cosines: Float64, k: int, per_slide: int | None
    ) -> list[SimilarTile]:
        chosen: list[tuple[str, int, float]] = []
        taken: Counter[str] = Counter()
        for index in np.lexsort((rows, -cosines)).tolist():
            slide_id, tile = self.table.place(int(rows[index]))
            if per_slide is None or taken[slide_id] < per_slide:
                taken[slide_id] += 1
                chosen.append((slide_id, tile, float(cosines[index])))
            if len(chosen) == k:
                break
        corners = self._corners((slide_id, tile) for slide_id, tile, _ in chosen)
        return [SimilarTile(s, tile, *corners[s, tile], cosine) for s, tile, cosine in chosen]

    def _corners(self, tiles: Iterable[Tile]) -> dict[Tile, tuple[int, int]]:
        of_slides: dict[str, list[int]] = {}
        for slide_id, tile in tiles:
            of_slides.setdefault(slide_id, []).append(tile)
        found = {}
        for slide_id, rows in of_slides.items():
            with damage_named(slide_id):
                corners = self.store[slide_id].coords[rows].tolist()
            found.update({(slide_id, row): (x, y) for row, (x, y) in zip(rows, corners, strict=True)})
        return found


def similar_tiles(
    store: Store,
    slide_id: str,
    tile: int,
    *,
    k: int = 10,
    like: Sequence[Tile] = (),
    unlike: Sequence[Tile] = (),
    per_slide: int | None = None,
    cache: Path | None = None,
) -> list[SimilarTile]:
    """Find the tiles of a store that are most similar to a tile, by the cosine of their features.

    The search is exact. With several examples, the direction that is searched is the mean of their features,
    each scaled to length 1. Counterexamples are subtracted as in Rocchio's method ("Relevance feedback in
    information retrieval", 1971): 0.75 times the mean of the examples minus 0.25 times the mean of the
    counterexamples. Of equally similar tiles, those of the first slide and row come first. For several
    searches use `TileSearch`, which reads the features once.

    Args:
        store: The store.
        slide_id: Slide of the tile.
        tile: Row of the tile in the bag of the slide.
        k: Number of tiles.
        like: More examples: slide id, and row of the tile in its bag.
        unlike: Counterexamples.
        per_slide: Largest number of tiles of one slide; any number by default.
        cache: Folder for a file with the features; see `open_features`.

    Returns:
        At most k tiles, the most similar first, without the examples and counterexamples.

    Raises:
        UsageError: If a tile does not exist, or an argument is out of range.
        StoreError: If the store is damaged.

    Example:
        >>> import wsi_embed
        >>> found = wsi_embed.similar_tiles(wsi_embed.open_store("feats.zarr"), "a", 0, k=3)
        >>> [tile.slide_id for tile in found]
        ['a', 'a', 'a']
    """
    search = TileSearch(store, cache=cache)
    return search.similar([(slide_id, tile), *like], unlike, k=k, per_slide=per_slide)
