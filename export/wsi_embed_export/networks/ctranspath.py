"""CTransPath: Swin-T with a convolutional stem in place of the patch embedding."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from wsi_embed_train.backbones import make_backbone


class ConvStem(nn.Module):
    """Two strided convolutions and one of 1 x 1, to a quarter of the size.

    Args:
        img_size: Side of the images, pixels.
        patch_size: Reduction of the size, always 4.
        in_chans: Number of channels of the images.
        embed_dim: Number of channels of the result.
        norm_layer: Normalisation of the result.
        **_: Further arguments that timm passes to patch embeddings.
    """

    def __init__(
        self, img_size: int, patch_size: int, in_chans: int, embed_dim: int, norm_layer: Any = None, **_: Any
    ) -> None:
        super().__init__()
        self.grid_size = (img_size // patch_size, img_size // patch_size)
        layers: list[nn.Module] = []
        channels = in_chans
        for wider in (embed_dim // 8, embed_dim // 4):
            layers += [nn.Conv2d(channels, wider, 3, stride=2, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(wider), nn.ReLU()]
            channels = wider
        self.proj = nn.Sequential(*layers, nn.Conv2d(channels, embed_dim, 1))
        self.norm = norm_layer(embed_dim) if norm_layer else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Return activations [B, H / 4, W / 4, embed_dim] of images [B, C, H, W]."""
        out: Tensor = self.norm(self.proj(images).permute(0, 2, 3, 1))
        return out


def make_ctranspath(px: int) -> nn.Module:
    """Create an untrained CTransPath for images of a side in pixels."""
    return make_backbone("timm/swin_tiny_patch4_window7_224", img_size=px, embed_layer=ConvStem)[0]
