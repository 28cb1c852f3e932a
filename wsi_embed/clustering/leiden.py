"""Communities of a graph of nearest neighbours: clusters whose number follows from the features."""

from __future__ import annotations

import random

import numpy as np

from wsi_embed.bags.cluster_head import Float32Array, unit_rows
from wsi_embed.errors import UsageError
from wsi_embed.util.extras import needs_extra

NEIGHBOURS = 15
# Tiles in the graph: the search for neighbours compares all pairs.
MOST = 30_000
# Smaller communities are outliers; their tiles go to the nearest of the others.
LEAST_TILES = 10


def leiden(rows: Float32Array, *, resolution: float, seed: int) -> Float32Array:
    """Return the mean directions of communities, float32 [K, D], of rows of length 1.

    The Leiden algorithm (Traag, Waltman and van Eck, 2019, by igraph) maximises the modularity of the graph
    in which each row is tied to its 15 nearest neighbours, weighted by their cosine.

    Args:
        rows: Rows of length 1, float32 [N, D]. Of more than 30,000, a random sample is taken.
        resolution: Resolution of the modularity: the larger, the more communities.
        seed: Seed of the sample and of the algorithm.

    Raises:
        UsageError: If there are too few rows, or no community is large enough.
        MissingExtraError: If scikit-learn or igraph is not installed.
    """
    with needs_extra("leiden", "clustering with Leiden"):
        import igraph
        from sklearn.neighbors import NearestNeighbors
    if len(rows) <= NEIGHBOURS:
        raise UsageError(f"Leiden needs more than {NEIGHBOURS} tiles, and there are {len(rows)}")
    if len(rows) > MOST:
        rows = rows[np.sort(np.random.default_rng(seed).permutation(len(rows))[:MOST])]
    distance, near = NearestNeighbors(n_neighbors=NEIGHBOURS, metric="cosine").fit(rows).kneighbors()
    ties = np.column_stack([np.repeat(np.arange(len(rows)), NEIGHBOURS), near.ravel()])
    graph = igraph.Graph(len(rows), ties)
    graph.es["weight"] = np.clip(1 - distance, 1e-6, 1).ravel()
    graph.simplify(combine_edges="max")  # mutual neighbours are tied once
    igraph.set_random_number_generator(random.Random(seed))
    try:
        found = graph.community_leiden("modularity", weights="weight", resolution=resolution, n_iterations=-1)
    finally:
        igraph.set_random_number_generator(random)
    members = np.array(found.membership)
    sizes = np.bincount(members)
    large = np.flatnonzero(sizes >= LEAST_TILES)
    if not len(large):
        raise UsageError(
            f"no community has {LEAST_TILES} tiles at resolution {resolution:g}", remedy="use a lower one"
        )
    return unit_rows(np.stack([rows[members == number].mean(0) for number in large]))
