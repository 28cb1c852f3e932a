"""Map of tiles: a projection of the features of a sample to two dimensions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wsi_embed.bags.damage import damage_named, left_out, sound_bags
from wsi_embed.bags.even_sample import draw_rows, even_share
from wsi_embed.errors import StoreError, UsageError
from wsi_embed.store import Store
from wsi_embed.util.extras import needs_extra
from wsi_embed.util.seed import check_seed
from wsi_embed.util.text import argument

METHODS = ("pca", "umap")
SAMPLE = 5000
# UMAP starts from this many principal components, which is common and saves time.
COMPONENTS = 50
NEIGHBOURS = 15
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TileMap:
    """Positions of tiles on a map.

    Attributes:
        points: Position of each tile, float32 [N, 2].
        slide_ids: Slides with tiles on the map, sorted.
        slide: Slide of each tile, as an index into `slide_ids`, int32 [N].
        tile: Row of each tile in the bag of its slide, int32 [N].
        cluster: Cluster of each tile, int16 [N]; None without clusters.
        notes: Lines on slides that are left out.
    """

    points: Float32
    slide_ids: tuple[str, ...]
    slide: npt.NDArray[np.int32]
    tile: npt.NDArray[np.int32]
    cluster: npt.NDArray[np.int16] | None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.points)


def map_tiles(store: Store, method: str = "pca", *, sample: int = SAMPLE, seed: int = 0) -> TileMap:
    """Project the features of tiles to two dimensions.

    The sample is drawn evenly over slides: each contributes the same number of tiles, if it has that many.
    The features are scaled to length 1, so that distances follow the cosine.

    Args:
        store: The store.
        method: `pca`, the first two principal components; or `umap` (McInnes, Healy and Melville, 2018),
            which needs the extra `umap`.
        sample: Largest number of tiles.
        seed: Seed of the sample and of UMAP.

    Raises:
        UsageError: If an argument is out of range, or the store has fewer than three tiles.
        MissingExtraError: If the extra `umap` is not installed.

    Example:
        >>> from wsi_embed.explore import map_tiles
        >>> found = map_tiles(wsi_embed.open_store("feats.zarr"))
        >>> found.points.shape == (len(found), 2)
        True
    """
    check_seed(seed)
    if method not in METHODS:
        raise UsageError(f"{' and '.join(METHODS)} are possible", where=argument("method", method))
    if sample < 3:
        raise UsageError("at least 3 tiles are needed", where=argument("sample", sample))
    drawn = _Sample(store, sample, seed)
    if len(drawn.features) < 3:
        raise UsageError("has fewer than 3 tiles to map", where=store.name)
    points = _umap(drawn.features, seed) if method == "umap" else principal_components(drawn.features, 2)
    return TileMap(
        points,
        tuple(drawn.slide_ids),
        drawn.slide,
        drawn.tile,
        drawn.cluster,
        tuple(drawn.notes),
    )


def principal_components(features: Float32, count: int) -> Float32:
    """Return the first principal components of features.

    The sign of a component is such that its largest weight is positive, so that it does not depend on the
    library.

    Args:
        features: Features, float32 [N, D].
        count: Number of components; missing ones are 0.

    Returns:
        Coordinates, float32 [N, count].
    """
    centred = features.astype(np.float64) - features.mean(0, dtype=np.float64)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    axes = vectors[:, ::-1][:, :count]
    largest = np.take_along_axis(axes, np.abs(axes).round(9).argmax(0)[None], 0)
    found = centred @ (axes * np.where(largest < 0, -1, 1))
    padding = np.zeros((len(features), count - found.shape[1]))
    return np.concatenate([found, padding], 1).astype(np.float32)


def _umap(features: Float32, seed: int) -> Float32:
    with needs_extra("umap", "a map by UMAP"):
        from umap import UMAP
    components = principal_components(features, min(COMPONENTS, features.shape[1]))
    neighbours = min(NEIGHBOURS, len(features) - 1)
    # the eigenvectors that it starts from by default need more tiles than components
    init = "spectral" if len(features) > NEIGHBOURS else "random"
    # one job, because several are not reproducible
    reducer = UMAP(n_neighbors=neighbours, init=init, random_state=seed, n_jobs=1)
    return np.asarray(reducer.fit_transform(components), np.float32)


class _Sample:
    """Tiles drawn evenly over the slides of a store, without damaged slides."""

    def __init__(self, store: Store, most: int, seed: int) -> None:
        found, self.notes = sound_bags(store, store)
        bags = {slide_id: bag for slide_id, bag in sorted(found.items()) if len(bag)}
        share = even_share([len(bag) for bag in bags.values()], most) if bags else 0
        self.slide_ids: list[str] = []
        features, slides, tiles, clusters = [], [], [], []
        for slide_id, bag in bags.items():
            rows = draw_rows(slide_id, len(bag), share, seed)
            try:
                with damage_named(slide_id):
                    values = np.asarray(bag.features[rows], np.float32)
                    if not np.isfinite(values).all():
                        raise ValueError("features are not finite numbers")
                    numbers = None if bag.cluster is None else np.asarray(bag.cluster[rows], np.int16)
            except StoreError as error:
                self.notes.append(left_out(slide_id, error))
                continue
            features.append(values)
            slides.append(np.full(len(rows), len(self.slide_ids), np.int32))
            tiles.append(rows.astype(np.int32))
            clusters.append(numbers)
            self.slide_ids.append(slide_id)
        dim = int(store.attrs["settings"]["feature_dim"])
        rows_of = np.concatenate([*features, np.empty((0, dim), np.float32)])
        lengths = np.linalg.norm(rows_of, axis=1, keepdims=True)
        self.features: Float32 = (rows_of / np.where(lengths > 0, lengths, 1)).astype(np.float32)
        self.slide = np.concatenate([*slides, np.empty(0, np.int32)])
        self.tile = np.concatenate([*tiles, np.empty(0, np.int32)])
        known = [numbers for numbers in clusters if numbers is not None]
        self.cluster = np.concatenate(known) if known and len(known) == len(clusters) else None
