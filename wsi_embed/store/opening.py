"""Opening of stores for reading."""

from __future__ import annotations

from pathlib import Path

from wsi_embed.storage.address import Location
from wsi_embed.store.reader import Store


def open_store(path: str | Location, *, clusters: str | Path | None = None) -> Store:
    """Open a store for reading.

    Args:
        path: Folder written by `wsi-embed ... --out`, or its address (`s3://`, `gs://`: extra `cloud`).
        clusters: Folder written by `wsi-embed cluster`; its clusters replace those of the model. Or a JSON
            file with names and colours of the model's own clusters (docs/clusters.md).

    Returns:
        A mapping from slide id to `Bag`.

    Raises:
        StoreError: If there is no store, or this version cannot read its format.
        UsageError: If the clusters are of another model, or cannot be read.
        RemoteError: If object storage cannot be reached, or refuses.

    Example:
        >>> import wsi_embed
        >>> store = wsi_embed.open_store("feats.zarr")
        >>> len(store) == len(store.slide_ids)
        True
    """
    return Store(path, clusters)


def open_named_store(path: str | Location, *, clusters: str | Path | None = None) -> Store:
    """Open a store with the clusters that are given, or else with the names beside it.

    Args:
        path: Folder or address of the store.
        clusters: Clusters or names, as for `open_store`. By default `<store>-clusters.json` beside the store,
            if it exists and the model has clusters.

    Raises:
        StoreError: If there is no store, or this version cannot read its format.
        UsageError: If the clusters are of another model, or cannot be read.
        RemoteError: If object storage cannot be reached, or refuses.

    Example:
        >>> from wsi_embed.bags.cluster_edits import ClusterNamesFile
        >>> from wsi_embed.store import open_named_store, open_store
        >>> store = open_store("feats.zarr")
        >>> state = ClusterNamesFile(store.names_path, store.clusters, store.model_id).rename([0], "stroma")
        >>> open_named_store("feats.zarr").cluster_names[0]
        'stroma'
    """
    store = Store(path, clusters)
    if clusters is None and store.clusters is not None and store.names_path.exists():
        store.use_clusters(store.names_path)
    return store
