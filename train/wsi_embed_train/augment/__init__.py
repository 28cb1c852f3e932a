"""Augmentation: random views of batches of tiles, on the device of the tiles.

It is plain PyTorch instead of kornia: on two CPU cores kornia 0.9 was slower for every operation (crop 2
times, jitter 6 to 9, grey 1.4 to 2, blur 1.4 to 3) and 3 times slower for the recipe (benchmarks/RESULTS.md).
Its results also differ when tiles are reduced, because its crop has no antialiasing: from 224 to 96 pixels it
is 5 grey levels from Pillow on average, this module 0.3.
"""

from wsi_embed_train.augment.views import Views

__all__ = ["Views"]
