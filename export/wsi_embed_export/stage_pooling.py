"""Features from several stages of a network, instead of from its last layer only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from wsi_embed.errors import UsageError
from wsi_embed.util.text import argument

POOLS = ("mean", "std")


class StagePooling(nn.Module):
    """Pooled and standardised activations of some stages of a network.

    The middle stages of a network for natural images describe texture, its last ones objects that tissue
    does not have.

    Args:
        stem: Layers before the first stage, from images [B, 3, H, W] to activations [B, C, h, w].
        stages: Stages that follow each other, from activations to activations.
        pools: For each stage, what of its activations becomes a feature: `mean` and `std` over positions, or
            nothing.
        channels: Number of channels of the activations of each stage.

    Attributes:
        feature_dim: Number of features D: of all pools, P, or fewer after `standardise(..., components=D)`.
        shift: Value subtracted from each pool, float32 [P]; zeros until `standardise`.
        scale: Divisor of each pool, float32 [P]; ones until `standardise`.
        projection: Matrix from standardised pools to features, float32 [D, P], or None.

    Raises:
        UsageError: If a pool has another name, or there is not one entry for each stage.

    Example:
        >>> from torch import nn
        >>> from wsi_embed_export import StagePooling
        >>> stages = [nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3)]
        >>> StagePooling(nn.Identity(), stages, [("mean",), ("mean", "std")], [8, 4]).feature_dim
        16
    """

    shift: Tensor
    scale: Tensor
    projection: Tensor | None

    def __init__(
        self,
        stem: nn.Module,
        stages: Sequence[nn.Module],
        pools: Sequence[Sequence[str]],
        channels: Sequence[int],
    ) -> None:
        super().__init__()
        if not len(stages) == len(pools) == len(channels):
            raise UsageError("one entry for each stage is expected", where=argument("pools", list(pools)))
        if wrong := [name for names in pools for name in names if name not in POOLS]:
            raise UsageError(f"choose of {', '.join(POOLS)}", where=argument("pools", wrong))
        self.stem, self.stages = stem, nn.ModuleList(stages)
        self.pools = tuple(tuple(names) for names in pools)
        self.feature_dim = sum(width * len(names) for width, names in zip(channels, self.pools, strict=True))
        self.register_buffer("shift", torch.zeros(self.feature_dim))
        self.register_buffer("scale", torch.ones(self.feature_dim))
        self.register_buffer("projection", None)

    def forward(self, images: Tensor) -> Tensor:
        """Return the features of normalised images, float32 [B, D]; half precision ends before pooling."""
        found, x = [], self.stem(images)
        for stage, names in zip(self.stages, self.pools, strict=True):
            x = stage(x)
            found += [_pooled(x, name) for name in names]
        pools = torch.cat(found, dim=1)
        # `type_as` and not `float`, which leaves no trace while these are still float32
        pools = (pools - self.shift.type_as(pools)) / self.scale.type_as(pools)
        return pools if self.projection is None else linear(pools, self.projection.type_as(pools))

    @torch.no_grad()
    def standardise(self, batches: Iterable[Tensor], components: int | None = None) -> None:
        """Set shift and scale to the mean and standard deviation of the pools of some images.

        Args:
            batches: Normalised images, float [B, 3, H, W] each; at least two images in all.
            components: Number of principal components of the standardised pools that become the features;
                by default the pools are. See `_partly_whitened`.
        """
        self.projection = None
        self.shift.zero_()
        self.scale.fill_(1)
        pools = torch.cat([self(batch) for batch in batches]).double()
        self.shift.copy_(pools.mean(0))
        self.scale.copy_(pools.std(0).clamp(min=1e-6))
        if components is not None:
            projection = _partly_whitened((pools - self.shift) / self.scale, components)
            self.projection = projection.to(self.shift)
        self.feature_dim = pools.shape[1] if components is None else components


def _partly_whitened(pools: Tensor, components: int) -> Tensor:
    """Return the projection onto principal components, divided by the fourth root of their variances.

    Whitening divides by the square root, which gives noise the weight of the first components; without it a
    few of them decide every cosine. The features have a mean variance of 1.

    Args:
        pools: Standardised values, float64 [N, P].
        components: Number of components.

    Returns:
        Matrix, float64 [components, P], with a positive largest entry in each row.

    Raises:
        UsageError: If there are fewer components with a variance.
    """
    variances, vectors = torch.linalg.eigh(torch.cov(pools.T))
    variances, vectors = variances.flip(0)[:components], vectors.flip(1)[:, :components]
    if len(variances) < components or not variances[-1] > 1e-9:
        raise UsageError(
            f"{len(pools)} images have fewer components",
            where=argument("components", components),
            remedy="give more images or fewer components",
        )
    largest = vectors.abs().argmax(0)
    vectors = vectors * vectors[largest, torch.arange(components)].sign()
    scaled: Tensor = vectors / variances**0.25 / variances.sqrt().mean().sqrt()
    return scaled.T.contiguous()


def _pooled(x: Tensor, pool: str) -> Tensor:
    x = x.float()
    mean = x.mean(dim=(2, 3))
    if pool == "mean":
        return mean
    centred = x - mean[:, :, None, None]
    return (centred * centred).mean(dim=(2, 3)).sqrt()
