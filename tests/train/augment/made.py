"""Tiles for the tests of the augmentation."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tests.made_slides import he_pixels


def noise(px: int = 64, seed: int = 0) -> Image.Image:
    """Every pixel another colour."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (px, px, 3), np.uint8))


def he_tiles(count: int = 4, px: int = 64) -> list[Image.Image]:
    """Made tissue."""
    pixels = he_pixels(px * 2, px * count, seed=5)
    return [Image.fromarray(pixels[:px, i * px : (i + 1) * px]) for i in range(count)]


def stacked(images: list[Image.Image]) -> Tensor:
    """uint8 [B, S, S, 3]."""
    return torch.from_numpy(np.stack([np.asarray(image) for image in images]))


def floats(images: list[Image.Image]) -> Tensor:
    """float [B, 3, S, S] in [0, 1]."""
    return stacked(images).permute(0, 3, 1, 2).div(255).contiguous()


def levels(ours: Tensor, theirs: list[Image.Image]) -> Tensor:
    """Difference in grey levels."""
    return (ours - floats(theirs)) * 255
