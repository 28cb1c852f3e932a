"""Clusters of stored features."""

from wsi_embed.clustering.fit import fit_clusters

__all__ = ["fit_clusters"]
