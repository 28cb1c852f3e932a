"""The random numbers of a view, for a whole batch.

All come from PyTorch's generator of the CPU, on every device: a seed gives the same views everywhere, one
state resumes them, and which tiles are chosen is known without waiting for the device. Everything is drawn
whatever the settings are, so that switching one augmentation off leaves the others as they were.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from wsi_embed_train.config import TrainConfig

RATIO = (3 / 4, 4 / 3)  # width to height of a crop, as in torchvision
TRIES = 10


@dataclass(frozen=True)
class Draw:
    """What happens to each tile of a batch of B, on the CPU.

    Attributes:
        box: Crop, int64 [B, 4]: top, left, height, width.
        flip: bool [B, 2]: upside down, left to right.
        stained: bool [B], which tiles are stained otherwise.
        stain: float [B, 2, 3], factors and shifts of the stains.
        jittered: bool [B].
        jitter: float [B, 4], factors of brightness, contrast and saturation, turn of the hue.
        order: Order of these four, the same for the batch; without those of no strength.
        greyed: bool [B].
        blurred: bool [B].
        sigma: float [B], radius of the blur.
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
    def make(cls, config: TrainConfig, batch: int, side: int) -> Draw:
        """Draw for a batch of tiles of `side` x `side` pixels."""
        strength = torch.tensor(config.jitter)
        centre = torch.tensor([1.0, 1.0, 1.0, 0.0])
        # no factor is negative
        low = torch.maximum(centre - strength, torch.tensor([0.0, 0.0, 0.0, -1.0]))
        spread = 2 * torch.rand(batch, 2, 3) - 1
        return cls(
            box=boxes(batch, side, config.crop_scale),
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
        """Of a part of the batch."""
        return Draw(**{name: of if name == "order" else of[part] for name, of in vars(self).items()})


def uniform(bounds: tuple[float, float], *shape: int) -> Tensor:
    """Uniform numbers, float32."""
    return torch.empty(shape).uniform_(*bounds)


def boxes(batch: int, side: int, scale: tuple[float, float]) -> Tensor:
    """Crops by torchvision's rule: ten tries for a box that fits, then the whole tile.

    Args:
        batch: How many.
        side: Pixels of the tile.
        scale: Least and greatest part of the area.

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
