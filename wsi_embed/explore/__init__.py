"""Exploration of a store: similar tiles, labels from named clusters, and a map of tiles."""

from wsi_embed.explore.similar import SimilarTile, TileSearch, similar_tiles
from wsi_embed.explore.tile_labels import ExportedLabels, export_labels

__all__ = ["ExportedLabels", "SimilarTile", "TileSearch", "export_labels", "similar_tiles"]
