"""Augmentation: random views of tiles, in batches on the device, and the published one to compare with."""

from wsi_embed_train.augment.views import Views

__all__ = ["Views"]
