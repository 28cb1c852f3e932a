"""Clusters that a user chooses for a store: other ones than the model's, or names for the model's."""

from __future__ import annotations

from pathlib import Path

from wsi_embed.bags.cluster_head import ARRAYS, DOCUMENT, ClusterHead
from wsi_embed.bags.cluster_names import ClusterNames, read_names
from wsi_embed.errors import UsageError


def open_clusters(
    path: str | Path | None, *, store: str, model_id: str, own: int | None
) -> tuple[ClusterHead | None, ClusterNames]:
    """Read clusters of the features of a store, or names of its own clusters.

    Args:
        path: Folder written by `wsi-embed cluster`, its `clusters.json`, or a JSON file with names and
            colours of the model's own clusters. None for the model's clusters without names.
        store: Name of the store, for messages.
        model_id: Id of the model that computed the features.
        own: Number of clusters of the model; None without a cluster head.

    Returns:
        The clusters, None for the model's own, and their names.

    Raises:
        UsageError: If the clusters or names are of another model, or cannot be read, or the path is something
            else.
    """
    if path is None:
        return None, ClusterNames()
    path = Path(path)
    _check_kind(path, store, own)
    if _has_names_only(path) and own is not None:
        return None, read_names(path, own, model_id)
    head = ClusterHead.load(path.parent if path.name == DOCUMENT else path)
    if head.model_id != model_id:
        raise UsageError(
            f"clusters of the features of {head.model_id}, but {store} has features of {model_id}",
            where=path,
            remedy="make clusters of this store with wsi-embed cluster",
        )
    return head, head.names


def _has_names_only(path: Path) -> bool:
    """Return whether a path is a JSON file that does not belong to the centroids of a folder."""
    return path.suffix.lower() == ".json" and not path.is_dir() and not (path.parent / ARRAYS).exists()


def _check_kind(path: Path, store: str, own: int | None) -> None:
    """Check that a path, if it exists, is a folder, a `clusters.json` or a JSON file with names."""
    if not path.exists() or path.is_dir():
        return
    if not path.is_file() or path.suffix.lower() != ".json":
        raise UsageError(
            "neither a folder of clusters nor a JSON file with names of clusters",
            where=path,
            remedy="give the folder that wsi-embed cluster wrote",
        )
    if path.name == DOCUMENT:
        return
    if not _has_names_only(path):
        raise UsageError(
            f"is in a folder of clusters, whose names are in {DOCUMENT}",
            where=path,
            remedy=f"write the names into {DOCUMENT}, and give the folder",
        )
    if own is None:
        raise UsageError(
            f"names clusters of the model, but the model of {store} has none",
            where=path,
            remedy=f"make clusters with wsi-embed cluster, and write the names into their {DOCUMENT}",
        )
