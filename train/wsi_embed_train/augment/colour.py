"""Colour jitter and grey as Pillow means them, each tile by a factor of its own.

Tiles are float [B, 3, height, width] in [0, 1] and are changed in place; factors are float [B]. Pillow stores
whole grey levels in between, so every operation clips to [0, 1]; rounding is left out.
"""

from __future__ import annotations

import torch
from torch import Tensor

RED, GREEN, BLUE = 0.299, 0.587, 0.114  # of grey by ITU-R 601-2, Pillow's mode L


def brightness(tiles: Tensor, factor: Tensor) -> Tensor:
    """Multiply."""
    return tiles.mul_(_each(factor)).clamp_(0, 1)


def contrast(tiles: Tensor, factor: Tensor) -> Tensor:
    """Blend with the tile's mean grey."""
    red, green, blue = tiles.mean((2, 3)).unbind(1)
    # a whole grey level, as in Pillow
    mean = ((RED * red + GREEN * green + BLUE * blue) * 255).round() / 255
    return tiles.mul_(_each(factor)).add_(_each(mean * (1 - factor))).clamp_(0, 1)


def saturation(tiles: Tensor, factor: Tensor) -> Tensor:
    """Blend with each pixel's grey."""
    shade = grey(tiles).mul_(_each(1 - factor))
    return tiles.mul_(_each(factor)).add_(shade).clamp_(0, 1)


def grey(tiles: Tensor) -> Tensor:
    """Grey of every pixel: a new tensor, [B, 1, height, width]."""
    red, green, blue = tiles.unbind(1)
    return (red * RED).add_(green, alpha=GREEN).add_(blue, alpha=BLUE).unsqueeze(1)


def hue(tiles: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue of HSV by a part of a whole turn, -0.5 to 0.5."""
    red, green, blue = tiles.unbind(1)
    more, less = torch.maximum(green, blue), torch.minimum(green, blue)
    low = torch.minimum(less, red)
    chroma = torch.maximum(more, red).sub_(low)
    # In sixths of a turn from red, the three cases of the hexagon in one: red is the greatest, between, or
    # the least. (torch.where, twice, took a fifth of a whole view.)
    angle = torch.maximum(less, red).add_(more).sub_(red, alpha=2).div_(chroma.clamp(min=1e-6)).add_(1)
    angle.copysign_(green - blue)
    # Pillow turns by whole steps of 256, cut off
    angle.add_(((turn * 255).trunc() * (6 / 255)).view(-1, 1, 1))
    angle.sub_((angle / 6).floor_(), alpha=6)
    for channel, part in (
        (red, (angle - 3).abs_().sub_(1)),
        (green, (angle - 2).abs_().neg_().add_(2)),
        (blue, (angle - 4).abs_().neg_().add_(2)),
    ):
        torch.addcmul(low, chroma, part.clamp_(0, 1), out=channel)
    return tiles


JITTER = (brightness, contrast, saturation, hue)  # in the order of the setting


def jitter(tiles: Tensor, factors: Tensor, order: list[int]) -> Tensor:
    """Apply operations of `JITTER` in an order, each tile by its factors, float [B, 4]."""
    for which in order:
        tiles = JITTER[which](tiles, factors[:, which])
    return tiles


def _each(factor: Tensor) -> Tensor:
    return factor.view(-1, 1, 1, 1)
