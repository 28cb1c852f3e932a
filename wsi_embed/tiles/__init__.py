"""Tile jobs: tiles as image files, one folder per slide, and a table of all tiles."""

from wsi_embed.tiles.folder import RESERVED, TileFolder
from wsi_embed.tiles.job import TileJob
from wsi_embed.tiles.settings import ImageFormat, TileSettings

__all__ = ["RESERVED", "ImageFormat", "TileFolder", "TileJob", "TileSettings"]
