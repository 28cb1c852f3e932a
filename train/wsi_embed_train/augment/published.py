"""The published augmentation on the CPU: two random views of a tile."""

from __future__ import annotations

import torch
from PIL import Image, ImageFilter
from torch import Tensor
from torchvision import transforms as T

from wsi_embed_train.config import TrainConfig


class PillowBlur:
    """Gaussian blur by Pillow with a uniformly drawn radius, as in the published code (after SimCLR).

    Args:
        sigma: Minimum and maximum radius, pixels.
    """

    def __init__(self, sigma: tuple[float, float]) -> None:
        self.sigma = sigma

    def __call__(self, image: Image.Image) -> Image.Image:
        """Blur an image."""
        # torch's generator, because DataLoader seeds it in its workers
        low, high = self.sigma
        radius = low + (high - low) * torch.rand(()).item()
        return image.filter(ImageFilter.GaussianBlur(radius=radius))


class TwoViews:
    """Transform to two independent views of a tile, each normalised float [3, tile_px, tile_px].

    Args:
        config: Crop, jitter, grey, blur and flip settings.
        mean: Mean of the data, RGB, in [0, 1].
        std: Standard deviation of the data, RGB, in [0, 1].
    """

    def __init__(self, config: TrainConfig, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        self.transform = T.Compose(
            [
                T.RandomResizedCrop(config.tile_px, scale=config.crop_scale),
                T.RandomApply([T.ColorJitter(*config.jitter)], p=config.jitter_p),
                T.RandomGrayscale(p=config.grey_p),
                T.RandomApply([PillowBlur(config.blur_sigma)], p=config.blur_p),
                T.RandomHorizontalFlip(p=config.flip_p),
                T.ToTensor(),
                T.Normalize(mean, std),
            ]
        )

    def __call__(self, image: Image.Image) -> tuple[Tensor, Tensor]:
        """Draw two views of an image."""
        return self.transform(image), self.transform(image)
