"""Random numbers of the views of a batch.

All come from PyTorch's CPU generator, on every device: a seed gives the same views everywhere, one state
resumes them, and the choice of tiles is known without waiting for the device. All numbers are drawn whatever
the settings are, so that switching one augmentation off does not change the others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from wsi_embed_train.config import TrainConfig

RATIO = (3 / 4, 4 / 3)  # range of the aspect ratio of a crop, as in torchvision
TRIES = 10


@dataclass(frozen=True)
class Draw:
    """Random parameters of the augmentation of each tile of a batch of B, on the CPU.

    Attributes:
        box: Crops, int64 [B, 4]: top, left, height, width.
        flip: Vertical and horizontal flips, bool [B, 2].
        stained: Tiles with stain augmentation, bool [B].
        stain: Factors and shifts of the stains, float [B, 2, 3].
        jittered: Tiles with colour jitter, bool [B].
        jitter: Factors of brightness, contrast and saturation, and rotation of the hue, float [B, 4].
        order: Order of these four operations, the same for the batch, without those of strength 0.
        greyed: Tiles converted to grey, bool [B].
        blurred: Tiles with blur, bool [B].
        sigma: Radius of the blur, pixels, float [B].
    """

    box: Tensor
    flip: Tensor
    stained: Tensor
    stain: Tensor
    jittered: Tensor
    jitter: Tensor
    order: list[int]
    greyed: Tensor
    blurred: Tensor
    sigma: Tensor

    @classmethod
    def make(
        cls, config: TrainConfig, batch: int, side: int, scale: tuple[float, float] | None = None
    ) -> Draw:
        """Draw the parameters for a batch of tiles of `side` x `side` pixels.

        Args:
            config: Settings of the augmentation.
            batch: Number of tiles.
            side: Side of the tiles, pixels.
            scale: Minimum and maximum area of the crops, as a share of the tile; by default that of the
                settings.
        """
        strength = torch.tensor(config.jitter)
        centre = torch.tensor([1.0, 1.0, 1.0, 0.0])
        # factors are not negative
        low = torch.maximum(centre - strength, torch.tensor([0.0, 0.0, 0.0, -1.0]))
        spread = 2 * torch.rand(batch, 2, 3) - 1
        return cls(
            box=boxes(batch, side, scale or config.crop_scale),
            flip=torch.rand(batch, 2) < torch.tensor([config.vflip_p, config.flip_p]),
            stained=torch.rand(batch) < config.stain_p * (config.stain > 0),
            stain=config.stain * spread + torch.tensor([[1.0], [0.0]]),
            jittered=torch.rand(batch) < config.jitter_p,
            jitter=low + (centre + strength - low) * torch.rand(batch, 4),
            order=[which for which in torch.randperm(4).tolist() if config.jitter[which] > 0],
            greyed=torch.rand(batch) < config.grey_p,
            blurred=torch.rand(batch) < config.blur_p,
            sigma=uniform(config.blur_sigma, batch),
        )

    def __getitem__(self, part: slice) -> Draw:
        """Return the parameters of a part of the batch."""
        return Draw(**{name: of if name == "order" else of[part] for name, of in vars(self).items()})


def uniform(bounds: tuple[float, float], *shape: int) -> Tensor:
    """Draw uniform numbers, float32, of a shape."""
    return torch.empty(shape).uniform_(*bounds)


def boxes(batch: int, side: int, scale: tuple[float, float]) -> Tensor:
    """Draw crops as torchvision does: up to ten tries for a box that fits, else the whole tile.

    Args:
        batch: Number of crops.
        side: Side of the tile, pixels.
        scale: Minimum and maximum area, as a share of the tile.

    Returns:
        int64 [batch, 4]: top, left, height, width.
    """
    area = side**2 * uniform(scale, batch, TRIES)
    ratio = uniform((math.log(RATIO[0]), math.log(RATIO[1])), batch, TRIES).exp_()
    size = torch.stack([(area / ratio).sqrt(), (area * ratio).sqrt()], 2).round().long()
    fits = ((size > 0) & (size <= side)).all(2)
    first = fits.int().argmax(1)
    size = torch.where(fits.any(1)[:, None], size[torch.arange(batch), first], side)
    corner = (torch.rand(batch, 2, dtype=torch.float64) * (side - size + 1)).long()
    return torch.cat([corner, size], 1)
