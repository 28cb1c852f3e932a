"""Training data: tiles of slides, and tile images (docs/training.md, Data)."""

from wsi_embed.slide.tile_images import read_image
from wsi_embed_train.data.opening import open_tiles
from wsi_embed_train.data.regions import UNSHIFTED
from wsi_embed_train.data.tiles import Sample, TileBatch, TrainingTiles

__all__ = ["UNSHIFTED", "Sample", "TileBatch", "TrainingTiles", "open_tiles", "read_image"]
