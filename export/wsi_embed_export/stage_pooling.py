"""Features from several stages of a network, instead of from its last layer only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

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
        feature_dim: Number of features D.
        shift: Value subtracted from each feature, float32 [D]; zeros until `standardise`.
        scale: Divisor of each feature, float32 [D]; ones until `standardise`.

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

    def forward(self, images: Tensor) -> Tensor:
        """Return the features of normalised images, float32 [B, D]; half precision ends before pooling."""
        found, x = [], self.stem(images)
        for stage, names in zip(self.stages, self.pools, strict=True):
            x = stage(x)
            found += [_pooled(x, name) for name in names]
        features = torch.cat(found, dim=1)
        return (features - self.shift.float()) / self.scale.float()

    @torch.inference_mode()
    def standardise(self, batches: Iterable[Tensor]) -> None:
        """Set shift and scale to the mean and standard deviation of the features of some images.

        Args:
            batches: Normalised images, float [B, 3, H, W] each; at least two images in all.
        """
        self.shift.zero_()
        self.scale.fill_(1)
        features = torch.cat([self(batch) for batch in batches]).double()
        self.shift.copy_(features.mean(0))
        self.scale.copy_(features.std(0).clamp(min=1e-6))


def _pooled(x: Tensor, pool: str) -> Tensor:
    x = x.float()
    mean = x.mean(dim=(2, 3))
    if pool == "mean":
        return mean
    centred = x - mean[:, :, None, None]
    return (centred * centred).mean(dim=(2, 3)).sqrt()
