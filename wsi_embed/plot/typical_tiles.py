"""Which tiles are typical of each cluster: two passes over a store, in memory that does not grow with it."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from wsi_embed.bags.damage import damage_named
from wsi_embed.errors import StoreError, UsageError, WsiEmbedError
from wsi_embed.store import Bag

FloatArray = npt.NDArray[np.float64]
OnError = Callable[[str, WsiEmbedError], None]
# 32 MiB of float64 at 512 numbers a tile.
BLOCK_ROWS = 8192


@dataclass
class Cluster:
    """A cluster over a whole store.

    Attributes:
        number: As the model gives it.
        tiles: How many it has.
        slides: On how many slides.
        confidence: Mean confidence of its tiles (while it is made, their sum); 0 where the store has none.
        direction: Mean of its tiles' features, each of length one (first their sum), float64 [D].
        typical: Its typical tiles, best first.
    """

    number: int
    tiles: int = 0
    slides: int = 0
    confidence: float = 0.0
    direction: FloatArray = field(default_factory=lambda: np.zeros(1))
    typical: list[Typical] = field(default_factory=list)

    def add(self, part: Cluster) -> None:
        """Add the sums of a part of the store."""
        self.tiles += part.tiles
        self.slides += part.slides
        self.confidence += part.confidence
        self.direction = self.direction + part.direction


@dataclass(frozen=True, order=True)
class Typical:
    """A tile on a contact sheet. Sorts by preference.

    Attributes:
        unsure: Less confident than its cluster's mean: taken only where others do not fill the row.
        rank: 0 for the best such tile of its slide, 1 for the second, ...
        distance: 1 - cosine to the cluster's mean.
        slide_id: Its slide.
        row: In the bag.
    """

    unsure: bool
    rank: int
    distance: float
    slide_id: str
    row: int


def find_typical(
    bags: Mapping[str, Bag], drawable: Collection[str], count: int, on_error: OnError
) -> tuple[list[Cluster], int]:
    """Choose typical tiles of every cluster.

    Of the tiles that are at least as confident as their cluster's mean, those nearest (cosine) to the
    mean of the cluster's features; from as many slides as possible: first the best of each slide, the
    nearest first, then the second best of each, and so on. Less confident tiles follow in the same way.

    Args:
        bags: All bags of a store: they make the means and the counts.
        drawable: Ids of the slides that tiles may come from.
        count: Tiles a cluster.
        on_error: Told of bags that are damaged; they are left out.

    Returns:
        Clusters that occur, the largest first; and how many bags were read.

    Raises:
        UsageError: The store has no clusters.
    """
    clusters: dict[int, Cluster] = {}
    read = set()
    for slide_id in sorted(bags):
        try:
            sums = _sums(bags[slide_id])
        except StoreError as error:
            on_error(slide_id, error)
            continue
        read.add(slide_id)
        for number, part in sums.items():
            clusters.setdefault(number, Cluster(number)).add(part)
    for cluster in clusters.values():
        cluster.confidence /= cluster.tiles
        cluster.direction = cluster.direction / max(float(np.linalg.norm(cluster.direction)), 1e-12)
    for slide_id in sorted(read.intersection(drawable)):
        for number, candidates in _candidates(bags[slide_id], clusters, count).items():
            cluster = clusters[number]
            cluster.typical = heapq.nsmallest(count, [*cluster.typical, *candidates])
    return sorted(clusters.values(), key=lambda c: (-c.tiles, c.number)), len(read)


def _sums(bag: Bag) -> dict[int, Cluster]:
    """Sums of features and confidences of a bag's clusters."""
    sums: dict[int, Cluster] = {}
    for block in _blocks(bag):
        order = np.argsort(block.cluster, kind="stable")
        numbers, first, counts = np.unique(block.cluster[order], return_index=True, return_counts=True)
        directions = np.add.reduceat(block.features[order], first)
        confidences = np.add.reduceat(block.confidence[order], first)
        for index, number in enumerate(numbers.tolist()):
            part = Cluster(number, int(counts[index]), 0, float(confidences[index]), directions[index])
            sums.setdefault(number, Cluster(number)).add(part)
    for cluster in sums.values():
        cluster.slides = 1
    return sums


def _candidates(bag: Bag, clusters: Mapping[int, Cluster], count: int) -> dict[int, list[Typical]]:
    """The best tiles of each cluster on one slide, ranked: `count` confident ones and `count` others."""
    best: dict[tuple[int, bool], list[tuple[float, int]]] = {}
    for block in _blocks(bag):
        for number in np.unique(block.cluster).tolist():
            cluster = clusters[number]
            rows = np.flatnonzero(block.cluster == number)
            # rounded, so that equal tiles are equal and the first of them wins
            distance = (1 - block.features[rows] @ cluster.direction).round(9)
            # a little below the mean, which rounding may lift above all of them
            unsure = block.confidence[rows] < cluster.confidence - 1e-6
            for group in (False, True):
                here = unsure == group
                pairs = zip(distance[here].tolist(), (rows[here] + block.start).tolist(), strict=True)
                key = (number, group)
                best[key] = heapq.nsmallest(count, [*best.get(key, []), *pairs])
    candidates: dict[int, list[Typical]] = {}
    for (number, group), pairs_of in best.items():
        ranked = (Typical(group, rank, d, bag.slide_id, row) for rank, (d, row) in enumerate(pairs_of))
        candidates.setdefault(number, []).extend(ranked)
    return candidates


@dataclass(frozen=True)
class _Block:
    start: int
    features: FloatArray  # of length one
    cluster: npt.NDArray[np.int64]
    confidence: FloatArray


def _blocks(bag: Bag) -> Iterator[_Block]:
    """Some thousand rows of a bag at a time."""
    for start in range(0, len(bag), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        with damage_named(bag.slide_id):
            if bag.cluster is None:
                raise UsageError("the model that made this store has no clusters: there is nothing to show")
            features = np.asarray(bag.features[rows], np.float64)
            cluster = np.asarray(bag.cluster[rows], np.int64)
            sure = bag.cluster_confidence
            confidence = np.zeros(len(cluster)) if sure is None else np.asarray(sure[rows], np.float64)
            if not len(features) == len(cluster) == len(confidence):
                raise ValueError(f"{len(features)} features for {len(cluster)} clusters")
        features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
        yield _Block(start, features, cluster, confidence)
