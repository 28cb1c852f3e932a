"""Crop, flip and blur as weighted sums of rows, then of columns.

A separable resampling has a short list of source rows and weights for every row of its result, different for
every image. `torch.nn.functional.embedding_bag` computes these sums for a whole batch on every device,
without a loop over images.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def crop(tiles: Tensor, box: Tensor, flip: Tensor, px: int) -> Tensor:
    """Crop a box from every tile, flip it, and resample it to a square.

    The filter is bilinear with antialiasing, as in Pillow's `resize(BILINEAR, box=...)`.

    Args:
        tiles: uint8 [B, height, width, 3].
        box: Top, left, height and width, int64 [B, 4].
        flip: Vertical and horizontal flips, bool [B, 2].
        px: Side of the result, pixels.

    Returns:
        float32 [B, 3, px, px] in [0, 1].
    """
    top, left, height, width = box.unbind(1)
    _, full_height, full_width, _ = tiles.shape
    columns = tiles.permute(0, 3, 2, 1).to(torch.float32, memory_format=torch.contiguous_format).div_(255)
    columns = weighted_rows(columns, *triangle(left, width, flip[:, 1], full_width, px))
    return weighted_rows(_turned(columns), *triangle(top, height, flip[:, 0], full_height, px))


def blur(tiles: Tensor, kernel: Tensor) -> Tensor:
    """Convolve each tile with a kernel in both directions, repeating the edges.

    Args:
        tiles: float [B, 3, height, width].
        kernel: float [B, taps], with an odd number of taps.

    Returns:
        float [B, 3, height, width].
    """
    rows = weighted_rows(tiles, *_around(kernel, tiles.shape[2]))
    return _turned(weighted_rows(_turned(rows), *_around(kernel, tiles.shape[3])))


def weighted_rows(tiles: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """Compute weighted sums of the rows of each tile.

    Args:
        tiles: float [B, 3, N, width].
        index: Source rows in [0, N), int64 [B, M, taps].
        weight: Their weights, float [B, M, taps].

    Returns:
        float [B, 3, M, width].
    """
    batch, channels, count, width = tiles.shape
    planes = torch.arange(0, batch * channels * count, count, device=tiles.device)
    index = index[:, None] + planes.view(batch, channels, 1, 1)
    weight = weight[:, None].expand_as(index)
    rows = tiles.reshape(-1, width)
    summed = F.embedding_bag(index.flatten(0, 2), rows, mode="sum", per_sample_weights=weight.flatten(0, 2))
    return summed.view(batch, channels, -1, width)


def triangle(start: Tensor, size: Tensor, flip: Tensor, full: int, px: int) -> tuple[Tensor, Tensor]:
    """Return source pixels and weights of a bilinear resampling with antialiasing along one axis.

    Args:
        start: First pixel of the box, int64 [B].
        size: Length of the box, 1 to `full` pixels, int64 [B].
        flip: Whether the box is flipped, bool [B].
        full: Length of the tile, pixels.
        px: Length of the result, pixels.

    Returns:
        Index int64 and weight float32, [B, px, taps].
    """
    scale = (size / px).view(-1, 1, 1)
    support = scale.clamp(min=1)
    at = torch.arange(px, device=size.device).expand(len(size), px)
    at = torch.where(flip[:, None], px - 1 - at, at)[..., None]
    centre = (at + 0.5) * scale
    reach = max(1, full / px)
    taps = torch.arange(2 * math.ceil(reach) + 1, device=size.device)
    index = (centre - support + 0.5).floor().long() + taps
    weight = (1 - (index + 0.5 - centre).abs() / support).clamp(min=0)
    # pixels outside the box get no weight
    weight = weight * ((index >= 0) & (index < size.view(-1, 1, 1)))
    index = (index + start.view(-1, 1, 1)).clamp(0, full - 1)
    return index, weight / weight.sum(-1, keepdim=True)


def box_blurs(sigma: Tensor, largest: float) -> Tensor:
    """Compute the kernels of Pillow's `GaussianBlur`: three successive box blurs with fractional edges.

    Together they have the variance of the Gaussian. Gwosdek et al., "Theoretical foundations of Gaussian
    convolution by extended box filtering" (2011), equations 7 and 11 and figure 2.

    Args:
        sigma: Radius of each kernel, pixels, float [B].
        largest: Upper bound of sigma.

    Returns:
        float [B, taps], with an odd number of taps; each row sums to 1.
    """
    variance = sigma**2 / 3
    whole = ((torch.sqrt(12 * variance + 1) - 1) / 2).floor()
    edge = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance) / (6 * (variance - (whole + 1) ** 2))
    reach = math.floor((math.sqrt(4 * largest**2 + 1) - 1) / 2) + 1
    away = torch.arange(-reach, reach + 1, device=sigma.device).abs()
    box = (whole[:, None] - away + 1).clamp(min=0, max=1)
    box = torch.where(away == whole[:, None] + 1, edge[:, None], box) / (2 * (whole + edge) + 1)[:, None]
    return _convolved(_convolved(box, box), box)


def _convolved(one: Tensor, other: Tensor) -> Tensor:
    """Return the full convolution of the rows of two matrices."""
    batch = len(one)
    kernel = other.flip(1)[:, None]
    return F.conv1d(one[None], kernel, padding=other.shape[1] - 1, groups=batch)[0]


def _around(kernel: Tensor, full: int) -> tuple[Tensor, Tensor]:
    """Return source rows and weights of a convolution that repeats the edges."""
    reach = kernel.shape[1] // 2
    offsets = torch.arange(-reach, reach + 1, device=kernel.device)
    index = (torch.arange(full, device=kernel.device)[:, None] + offsets).clamp(0, full - 1)
    return index.expand(len(kernel), -1, -1), kernel[:, None].expand(-1, full, -1)


def _turned(tiles: Tensor) -> Tensor:
    """Swap rows and columns, in contiguous memory."""
    return tiles.transpose(2, 3).contiguous()
