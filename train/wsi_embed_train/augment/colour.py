"""Colour jitter and greyscale as in Pillow, with separate factors for each tile.

Tiles are float [B, 3, height, width] in [0, 1] and are changed in place; factors are float [B]. Pillow rounds
intermediate results to whole grey levels; this module only clips them to [0, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor

RED, GREEN, BLUE = 0.299, 0.587, 0.114  # weights of grey by ITU-R 601-2, Pillow's mode L


def brightness(tiles: Tensor, factor: Tensor) -> Tensor:
    """Multiply each tile by its factor."""
    return tiles.mul_(_each(factor)).clamp_(0, 1)


def contrast(tiles: Tensor, factor: Tensor) -> Tensor:
    """Blend each tile with its mean grey."""
    red, green, blue = tiles.mean((2, 3)).unbind(1)
    # rounded to a whole grey level, as in Pillow
    mean = ((RED * red + GREEN * green + BLUE * blue) * 255).round() / 255
    return tiles.mul_(_each(factor)).add_(_each(mean * (1 - factor))).clamp_(0, 1)


def saturation(tiles: Tensor, factor: Tensor) -> Tensor:
    """Blend each pixel with its grey."""
    shade = grey(tiles).mul_(_each(1 - factor))
    return tiles.mul_(_each(factor)).add_(shade).clamp_(0, 1)


def grey(tiles: Tensor) -> Tensor:
    """Return the grey of every pixel as a new tensor, [B, 1, height, width]."""
    red, green, blue = tiles.unbind(1)
    return (red * RED).add_(green, alpha=GREEN).add_(blue, alpha=BLUE).unsqueeze(1)


def hue(tiles: Tensor, turn: Tensor) -> Tensor:
    """Rotate the hue of HSV by a share of a full turn, -0.5 to 0.5."""
    red, green, blue = tiles.unbind(1)
    more, less = torch.maximum(green, blue), torch.minimum(green, blue)
    low = torch.minimum(less, red)
    chroma = torch.maximum(more, red).sub_(low)
    # In sixths of a turn from red. One formula covers the three cases of the hexagon: red is the largest, the
    # middle or the smallest value. (Two calls of torch.where took a fifth of the time of a view.)
    angle = torch.maximum(less, red).add_(more).sub_(red, alpha=2).div_(chroma.clamp(min=1e-6)).add_(1)
    angle.copysign_(green - blue)
    # Pillow truncates the rotation to steps of 1/255
    angle.add_(((turn * 255).trunc() * (6 / 255)).view(-1, 1, 1))
    angle.sub_((angle / 6).floor_(), alpha=6)
    for channel, part in (
        (red, (angle - 3).abs_().sub_(1)),
        (green, (angle - 2).abs_().neg_().add_(2)),
        (blue, (angle - 4).abs_().neg_().add_(2)),
    ):
        torch.addcmul(low, chroma, part.clamp_(0, 1), out=channel)
    return tiles


JITTER = (brightness, contrast, saturation, hue)  # in the order of the setting `jitter`


def jitter(tiles: Tensor, factors: Tensor, order: list[int]) -> Tensor:
    """Apply the operations of `JITTER` in the given order, with the factors of each tile, float [B, 4]."""
    for which in order:
        tiles = JITTER[which](tiles, factors[:, which])
    return tiles


def _each(factor: Tensor) -> Tensor:
    return factor.view(-1, 1, 1, 1)
