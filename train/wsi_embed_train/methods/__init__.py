"""One method, one module."""

from wsi_embed_train.methods.clubyol import CluBYOL

__all__ = ["CluBYOL"]
