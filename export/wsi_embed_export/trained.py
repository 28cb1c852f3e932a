"""Common representation of all export sources: networks and what is known about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import nn

from wsi_embed.errors import UsageError
from wsi_embed.util.text import argument
from wsi_embed_train.weights.initial import licence_of


@dataclass(frozen=True)
class TrainedModel:
    """Trained networks in float32 on the CPU, and metadata for the exported file.

    Attributes:
        backbone: Network from normalised images [B, 3, H, W] to features [B, D].
        feature_dim: Number of features D.
        projector: Network from features to projections [B, P]; None if there is none.
        cluster_head: Network from projections to cluster logits [B, K]; None if there is none.
        clusters: Number of clusters K; None without a cluster head.
        method: Training method.
        architecture: Name of the backbone.
        tile_px: Side of a tile, pixels.
        mpp: Micrometres per pixel of a tile; None if unknown.
        mean: RGB mean of the normalisation, in [0, 1].
        std: RGB standard deviation of the normalisation, in [0, 1].
        training: Data, epochs and settings of the training, if known.
        slides: Ids of the training slides.
        name: File name and digest of the checkpoint.
        resize: Resizing and crop of tiles before the normalisation, from [B, 3, tile_px, tile_px] to the
            input of the backbone, in [0, 255]; None if the backbone sees the whole tile.
        published_licence: Licence of published weights, as the preset records it.
    """

    backbone: nn.Module
    feature_dim: int
    projector: nn.Module | None
    cluster_head: nn.Module | None
    clusters: int | None
    method: str
    architecture: str
    tile_px: int
    mpp: float | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    training: dict[str, Any] = field(default_factory=dict)
    slides: tuple[str, ...] = ()
    name: str | None = None
    resize: nn.Module | None = None
    published_licence: str = ""

    @property
    def licence(self) -> str:
        """Licence of the weights, or of those that the training started from and of its teacher."""
        return self.published_licence or licence_of(self.training)


@dataclass(frozen=True)
class Given:
    """Properties of a model given by the user; None takes the value from the source.

    Attributes:
        mean: RGB mean of the normalisation, in [0, 1].
        std: RGB standard deviation of the normalisation, in [0, 1].
        tile_px: Side of a tile, pixels.
        mpp: Micrometres per pixel of a tile.
        pooling: Pooling of the tokens of a vision transformer: `token`, `mean`, `token+mean` or `map`.
        resize: Side to which the graph resizes tiles, pixels.
        crop: Side of the centre of the resized tile that the network sees, pixels.
        interpolation: Interpolation of the resizing: `bilinear` or `bicubic`.
    """

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    tile_px: int | None = None
    mpp: float | None = None
    pooling: str | None = None
    resize: int | None = None
    crop: int | None = None
    interpolation: str | None = None

    def __post_init__(self) -> None:
        for name, values in (("mean", self.mean), ("std", self.std)):
            low = 0.0 if name == "mean" else 1e-3
            if values is not None and (len(values) != 3 or not all(low <= v <= 1 for v in values)):
                raise UsageError(
                    f"expected three numbers in [{low:g}, 1], R,G,B of images scaled to [0, 1]",
                    where=f"`{name}={','.join(f'{v:g}' for v in values)}`",
                )
        for name, px in (("tile_px", self.tile_px), ("resize", self.resize), ("crop", self.crop)):
            if px is not None and not 8 <= px <= 8192:
                raise UsageError("expected 8 to 8192 pixels", where=argument(name, px))
        if self.mpp is not None and not 0.05 <= self.mpp <= 20:
            raise UsageError("expected 0.05 to 20 um per pixel", where=f"`mpp={self.mpp:g}`")
