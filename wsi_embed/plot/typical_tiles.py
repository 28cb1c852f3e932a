"""Choice of typical tiles of each cluster, in two passes over a store with constant memory."""

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
# 32 MiB of float64 for 512 features.
BLOCK_ROWS = 8192


@dataclass
class Cluster:
    """Cluster over a whole store.

    Attributes:
        number: Number of the cluster.
        tiles: Number of its tiles.
        slides: Number of slides with the cluster.
        confidence: Mean confidence of its tiles; their sum during the first pass; 0 if the store has none.
        direction: Direction of the mean of the normalised features, float64 [D]; their sum during the first
            pass.
        typical: Typical tiles, best first.
        atypical: Tiles farthest from the mean, the farthest first, whatever their confidence.
        on_slides: Number of its tiles on each slide that has the cluster.
    """

    number: int
    tiles: int = 0
    slides: int = 0
    confidence: float = 0.0
    direction: FloatArray = field(default_factory=lambda: np.zeros(1))
    typical: list[Typical] = field(default_factory=list)
    atypical: list[Typical] = field(default_factory=list)
    on_slides: dict[str, int] = field(default_factory=dict)

    def add(self, part: Cluster) -> None:
        """Add the sums over a part of the store."""
        self.tiles += part.tiles
        self.slides += part.slides
        self.confidence += part.confidence
        self.direction = self.direction + part.direction
        self.on_slides |= part.on_slides


@dataclass(frozen=True, order=True)
class Typical:
    """Tile on a contact sheet. Instances sort by preference.

    Attributes:
        unsure: Whether its confidence is below the mean of the cluster. Such tiles only fill up a row.
        rank: Rank among such tiles of the slide, 0 for the best.
        distance: 1 - cosine to the mean of the cluster; of atypical tiles its negative.
        slide_id: Id of the slide.
        row: Row of the tile in the bag.
    """

    unsure: bool
    rank: int
    distance: float
    slide_id: str
    row: int


def find_typical(
    bags: Mapping[str, Bag],
    drawable: Collection[str],
    count: int,
    on_error: OnError,
    *,
    atypical: int = 0,
) -> tuple[list[Cluster], int]:
    """Choose typical tiles of every cluster.

    These are the tiles nearest (by cosine) to the mean of the cluster's features, among those with at least
    the mean confidence of the cluster. They come from as many slides as possible: first the best tile of each
    slide, the nearest first, then the second best of each, and so on. Less confident tiles follow in the same
    order. Atypical tiles are the farthest from the mean, from as many slides as possible in the same way.

    Args:
        bags: All bags of a store, from which means and counts are computed.
        drawable: Ids of the slides from which tiles may be chosen.
        count: Number of tiles per cluster.
        on_error: Function called with the slide id and the error of damaged bags, which are left out.
        atypical: Number of atypical tiles per cluster.

    Returns:
        Clusters that occur, the largest first, and the number of bags read.

    Raises:
        UsageError: If the store has no clusters.
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
        for number, (typical, others) in _candidates(bags[slide_id], clusters, count, atypical).items():
            cluster = clusters[number]
            cluster.typical = heapq.nsmallest(count, [*cluster.typical, *typical])
            cluster.atypical = heapq.nsmallest(atypical, [*cluster.atypical, *others])
    return sorted(clusters.values(), key=lambda c: (-c.tiles, c.number)), len(read)


def _sums(bag: Bag) -> dict[int, Cluster]:
    """Compute the sums of features and confidences of the clusters of a bag."""
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
        cluster.slides, cluster.on_slides = 1, {bag.slide_id: cluster.tiles}
    return sums


def _candidates(
    bag: Bag, clusters: Mapping[int, Cluster], count: int, atypical: int
) -> dict[int, tuple[list[Typical], list[Typical]]]:
    """Rank tiles of each cluster on one slide.

    Returns:
        By cluster, the best tiles (up to `count` confident ones and `count` others), and the farthest ones.
    """
    nearest: dict[tuple[int, bool], list[tuple[float, int]]] = {}
    farthest: dict[int, list[tuple[float, int]]] = {}
    for block in _blocks(bag):
        for number in np.unique(block.cluster).tolist():
            cluster = clusters[number]
            rows = np.flatnonzero(block.cluster == number)
            # rounded, so that equal tiles have equal distances and the first of them is taken
            distance = (1 - block.features[rows] @ cluster.direction).round(9)
            # with a tolerance, as rounding may lift the mean above all values
            unsure = block.confidence[rows] < cluster.confidence - 1e-6
            rows += block.start
            for group in (False, True):
                chosen = unsure == group
                best = nearest.get((number, group), [])
                nearest[number, group] = _smallest(count, best, distance[chosen], rows[chosen])
            farthest[number] = _smallest(atypical, farthest.get(number, []), -distance, rows)
    found: dict[int, tuple[list[Typical], list[Typical]]] = {
        number: ([], _ranked(bag, False, pairs)) for number, pairs in farthest.items()
    }
    for (number, group), pairs in nearest.items():
        found[number][0].extend(_ranked(bag, group, pairs))
    return found


def _smallest(
    count: int, so_far: list[tuple[float, int]], distances: FloatArray, rows: npt.NDArray[np.int64]
) -> list[tuple[float, int]]:
    pairs = zip(distances.tolist(), rows.tolist(), strict=True)
    return heapq.nsmallest(count, [*so_far, *pairs])


def _ranked(bag: Bag, unsure: bool, pairs: list[tuple[float, int]]) -> list[Typical]:
    return [Typical(unsure, rank, d, bag.slide_id, row) for rank, (d, row) in enumerate(pairs)]


@dataclass(frozen=True)
class _Block:
    start: int
    features: FloatArray  # normalised to length 1
    cluster: npt.NDArray[np.int64]
    confidence: FloatArray


def _blocks(bag: Bag) -> Iterator[_Block]:
    """Yield blocks of some thousand rows of a bag."""
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
