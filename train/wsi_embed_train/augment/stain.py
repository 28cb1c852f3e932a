"""Stain augmentation: other amounts of haematoxylin and eosin in a tile."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Optical densities of red, green and blue of one unit of stain: Ruifrok and Johnston, "Quantification of
# histochemical staining by color deconvolution" (2001). What is left is at right angles to both.
HAEMATOXYLIN, EOSIN = (0.65, 0.70, 0.29), (0.07, 0.99, 0.11)


def stain_vectors() -> Tensor:
    """Haematoxylin, eosin and what is left: float64 [3, 3], a row each, of length one."""
    pair = torch.tensor([HAEMATOXYLIN, EOSIN], dtype=torch.float64)
    vectors = torch.stack([pair[0], pair[1], torch.linalg.cross(pair[0], pair[1])])
    return torch.nn.functional.normalize(vectors)


def mixing(change: Tensor) -> Tensor:
    """What a change of concentrations does to optical densities.

    Args:
        change: float [B, 2, 3]: factors, then shifts, of haematoxylin, eosin and what is left.

    Returns:
        float [B, 3, 4], for densities as columns: a matrix, and a column to add.
    """
    vectors = stain_vectors()
    factor, shift = change.double().unbind(1)
    matrix = torch.linalg.inv(vectors) @ (factor[..., None] * vectors)
    return torch.cat([matrix.transpose(1, 2), (shift @ vectors)[..., None]], 2).to(change)


def stain(tiles: Tensor, mixing: Tensor) -> Tensor:
    """Change each tile's stains, by HED jitter.

    Tellez et al., "Whole-slide mitosis detection in H&E breast histology using PHH3 as a reference to train
    distilled stain-invariant convolutional networks" (2018). Optical density is -log10 of the colour in
    [1/255, 1], so that white stays white but for a shift.

    Args:
        tiles: float [B, 3, height, width] in [0, 1].
        mixing: float [B, 3, 4], from `mixing`.

    Returns:
        float [B, 3, height, width] in [0, 1], a new tensor.
    """
    light = tiles.flatten(2).clamp(min=1 / 255).log_()  # -ln(10) times the density
    shift = -math.log(10) * mixing[..., 3:]
    return torch.baddbmm(shift, mixing[..., :3], light).exp_().clamp_(0, 1).view_as(tiles)
