"""Stain augmentation: random changes of the amounts of haematoxylin and eosin."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Optical densities of red, green and blue for one unit of stain: Ruifrok and Johnston, "Quantification of
# histochemical staining by color deconvolution" (2001). The residual is orthogonal to both.
HAEMATOXYLIN, EOSIN = (0.65, 0.70, 0.29), (0.07, 0.99, 0.11)


def stain_vectors() -> Tensor:
    """Return the unit vectors of haematoxylin, eosin and the residual as rows, float64 [3, 3]."""
    pair = torch.tensor([HAEMATOXYLIN, EOSIN], dtype=torch.float64)
    vectors = torch.stack([pair[0], pair[1], torch.linalg.cross(pair[0], pair[1])])
    return torch.nn.functional.normalize(vectors)


def mixing(change: Tensor) -> Tensor:
    """Return the affine maps of optical densities for changes of stain concentrations.

    Args:
        change: Factors and shifts of haematoxylin, eosin and the residual, float [B, 2, 3].

    Returns:
        float [B, 3, 4]: a matrix to multiply densities (as columns) by, and a column to add.
    """
    vectors = stain_vectors()
    factor, shift = change.double().unbind(1)
    matrix = torch.linalg.inv(vectors) @ (factor[..., None] * vectors)
    return torch.cat([matrix.transpose(1, 2), (shift @ vectors)[..., None]], 2).to(change)


def stain(tiles: Tensor, mixing: Tensor) -> Tensor:
    """Change the stain concentrations of each tile (HED jitter).

    Tellez et al., "Whole-slide mitosis detection in H&E breast histology using PHH3 as a reference to train
    distilled stain-invariant convolutional networks" (2018). Optical density is -log10 of the colour in
    [1/255, 1], so white stays white except for the shift.

    Args:
        tiles: float [B, 3, height, width] in [0, 1].
        mixing: Affine maps from the function `mixing`, float [B, 3, 4].

    Returns:
        A new tensor, float [B, 3, height, width] in [0, 1].
    """
    light = tiles.flatten(2).clamp(min=1 / 255).log_()  # -ln(10) times the density
    shift = -math.log(10) * mixing[..., 3:]
    return torch.baddbmm(shift, mixing[..., :3], light).exp_().clamp_(0, 1).view_as(tiles)
