"""Augmentation: random views of tiles, in batches on the device that the tiles are on.

Plain PyTorch and not kornia: on two CPU cores kornia 0.9 took longer for every operation (crop 2 times,
jitter 6 to 9, grey 1.4 to 2, blur 1.4 to 3) and 3 times as long for the recipe (benchmarks/RESULTS.md). It is
also another recipe where tiles are shrunk: its crop has no antialiasing, at 224 to 96 pixels 5 grey levels
from Pillow's on average, where ours has 0.3.
"""

from wsi_embed_train.augment.views import Views

__all__ = ["Views"]
