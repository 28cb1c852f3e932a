"""Exploration of a store: similar tiles, labels from named clusters, and a map of tiles."""

from wsi_embed.explore.similar import SimilarTile, TileSearch, similar_tiles
from wsi_embed.explore.tile_labels import ExportedLabels, export_labels
from wsi_embed.explore.tile_map import TileMap, map_tiles

__all__ = [
    "ExportedLabels",
    "SimilarTile",
    "TileMap",
    "TileSearch",
    "export_labels",
    "map_tiles",
    "similar_tiles",
]
