"""Clusters of stored features, by spherical k-means or Leiden (extras `cluster` and `leiden`)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wsi_embed.bags.cluster_head import ClusterHead, Float32Array, unit_rows
from wsi_embed.bags.damage import damage_named
from wsi_embed.bags.even_sample import draw_rows, even_share
from wsi_embed.clustering.kmeans import kmeans
from wsi_embed.clustering.leiden import leiden
from wsi_embed.clustering.stability import stable_count
from wsi_embed.errors import UsageError
from wsi_embed.store import Bag, Store
from wsi_embed.util.seed import check_seed
from wsi_embed.util.text import argument

# Tiles of a store to fit the clusters to: half a gigabyte with 1,280 features.
SAMPLE = 100_000
# Cluster numbers are stored as int16.
MOST_CLUSTERS = 1000
STARTS = 10
MOST_RESOLUTION = 1000
METHODS = ("kmeans", "leiden")
# Number of clusters of k-means, unless it is given.
DEFAULT_K = 20


def fit_clusters(
    store: Store,
    k: int | str | None = None,
    *,
    method: str = "kmeans",
    resolution: float = 1.0,
    sample: int = SAMPLE,
    seed: int = 0,
) -> ClusterHead:
    """Cluster a store's features, by default by spherical k-means (Dhillon and Modha, 2001).

    The sample is drawn evenly over slides: each contributes the same number of tiles, if it has that many.
    The features are centred and scaled to length 1, then clustered by scikit-learn's k-means, or by Leiden,
    which finds the number of clusters. A tile belongs to the nearest centroid. Clusters are numbered by size,
    largest first. The same store, arguments and libraries give the same clusters.

    Args:
        store: Store with the features; it is not changed.
        k: Number of clusters of k-means, 20 by default, or `auto` for the most stable number; see
            `stable_count`.
        method: `kmeans` or `leiden`; see `wsi_embed.clustering.leiden`.
        resolution: Resolution of Leiden: the larger, the more clusters.
        sample: Largest number of tiles to fit the clusters to.
        seed: Seed of the sample and of the starts of k-means.

    Returns:
        The clusters. `ClusterHead.save` writes them into a folder for `open_store(..., clusters=...)`.

    Raises:
        UsageError: If an argument is out of range, or the store has too few tiles or features that are not
            finite.
        StoreError: If features cannot be read.
        MissingExtraError: If scikit-learn, or igraph for Leiden, is not installed.

    Example:
        >>> from pathlib import Path
        >>> from wsi_embed.clustering import fit_clusters
        >>> head = fit_clusters(wsi_embed.open_store("feats.zarr"), 3)
        >>> head.save(Path("clusters"))
        >>> wsi_embed.open_store("feats.zarr", clusters="clusters").clusters
        3
    """
    check_seed(seed)
    if sample < 2:
        raise UsageError("at least 2 tiles are needed", where=argument("sample", sample))
    _check_method(method, k, resolution)
    features = _sample(store, sample, seed)
    return fit_features(
        features,
        k,
        method=method,
        resolution=resolution,
        model_id=store.model_id,
        source=store.name,
        seed=seed,
    )


def fit_features(
    features: Float32Array,
    k: int | str | None,
    *,
    method: str = "kmeans",
    resolution: float = 1.0,
    model_id: str,
    source: str,
    seed: int = 0,
) -> ClusterHead:
    """Cluster features; see `fit_clusters`.

    Args:
        features: Features of tiles, float32 [N, D].
        k: Number of clusters, or `auto`; None for 20.
        method: `kmeans` or `leiden`.
        resolution: Resolution of Leiden.
        model_id: Id of the model that computed the features.
        source: Name of their source, for messages and the record.
        seed: Seed of the starts of k-means, or of Leiden.

    Raises:
        UsageError: If an argument is out of range, or there are too few tiles.
        MissingExtraError: If scikit-learn, or igraph for Leiden, is not installed.
    """
    check_seed(seed)
    _check_method(method, k, resolution)
    mean = features.mean(0, dtype=np.float64).astype(np.float32)
    rows = unit_rows(features - mean)
    if method == "leiden":
        centroids = leiden(rows, resolution=resolution, seed=seed)
    else:
        wanted = DEFAULT_K if k is None else k
        count = stable_count(rows, seed) if k == "auto" else _count(wanted, len(rows), source)
        centroids = kmeans(rows, count, seed=seed, starts=STARTS)
    cosine = rows @ centroids.T
    sizes = np.bincount(cosine.argmax(1), minlength=len(centroids))
    order = np.argsort(-sizes, kind="stable")
    about = {
        "store": source,
        "sample": len(rows),
        "seed": seed,
        "auto": k == "auto",
        **({"method": method, "resolution": resolution} if method != "kmeans" else {}),
        "shares": (sizes[order] / len(rows)).round(6).tolist(),
    }
    return ClusterHead(model_id, mean, centroids[order], temperature(cosine), about)


def temperature(cosine: Float32Array) -> float:
    """Return the mean gap between the two largest cosines of a tile, so that the scaled gap is 1 on average.

    Args:
        cosine: Cosines of tiles and centroids, float32 [N, K].
    """
    if cosine.shape[1] < 2:
        return 1.0
    best = np.partition(cosine, -2, axis=1)[:, -2:]
    return max(float((best[:, 1] - best[:, 0]).mean(dtype=np.float64)), 1e-4)


def _check_method(method: str, k: int | str | None, resolution: float) -> None:
    if method not in METHODS:
        raise UsageError(f"choose {' or '.join(METHODS)}", where=argument("method", method))
    if method == "leiden" and k is not None:
        raise UsageError(
            "Leiden finds the number of clusters itself", where=argument("k", k), remedy="give `resolution=`"
        )
    if not 0 < resolution <= MOST_RESOLUTION:
        raise UsageError(
            f"above 0 and up to {MOST_RESOLUTION} is expected", where=argument("resolution", resolution)
        )
    if method != "leiden" and resolution != 1.0:
        raise UsageError("only Leiden has a resolution", where=argument("resolution", resolution))


def _count(k: int | str, tiles: int, name: str) -> int:
    try:
        count = int(k)
    except ValueError:
        raise UsageError("give a number of clusters, or auto", where=argument("k", k)) from None
    if not 1 <= count <= MOST_CLUSTERS:
        raise UsageError(f"1 to {MOST_CLUSTERS} clusters are possible", where=argument("k", k))
    if count > tiles:
        raise UsageError(
            f"{name} has only {tiles} tiles to make clusters of",
            where=argument("k", k),
            remedy="give fewer clusters",
        )
    return count


def _sample(store: Store, most: int, seed: int) -> Float32Array:
    """Return features of tiles drawn evenly over the slides, float32 [N, D]."""
    rows = [(row.slide_id, row.tiles) for row in store.rows() if row.tiles or row.damage]
    if not rows:
        raise UsageError("no slide has tiles to make clusters of", where=store.name)
    share = even_share([tiles for _, tiles in rows], most)
    parts = [_features(store[slide_id], min(tiles, share), seed) for slide_id, tiles in rows]
    features = np.concatenate(parts)[:most]
    if not np.isfinite(features).all():
        raise UsageError(
            "features are not finite numbers",
            where=store.name,
            remedy="check the model, then run wsi-embed verify",
        )
    return features


def _features(bag: Bag, count: int, seed: int) -> npt.NDArray[np.float32]:
    """Return the features of tiles of a slide, drawn with its id and the seed."""
    chosen = draw_rows(bag.slide_id, len(bag), count, seed)
    with damage_named(bag.slide_id):
        return np.asarray(bag.features[chosen] if count < len(bag) else bag.features[:], np.float32)
