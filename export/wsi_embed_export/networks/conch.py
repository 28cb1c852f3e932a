"""The image encoder of CONCH v1.5: a vision transformer with an attentional pooler."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wsi_embed_train.backbones import make_backbone


class AttentionalPooler(nn.Module):
    """Attention of one learned query to the tokens of a tile.

    Args:
        width: Number of features of the result.
        tokens_width: Number of features of a token.
        heads: Number of heads.
    """

    def __init__(self, width: int, tokens_width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Parameter(torch.zeros(1, width))
        self.ln_k, self.ln_q = nn.LayerNorm(tokens_width), nn.LayerNorm(width)
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_kv = nn.Linear(tokens_width, 2 * width, bias=False)
        self.to_out = nn.Linear(width, width, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the pooled tokens, from [B, N, tokens_width] to [B, width]."""
        query = self.to_q(self.ln_q(self.query)).expand(tokens.shape[0], 1, -1)
        key, value = self.to_kv(self.ln_k(tokens)).chunk(2, dim=-1)
        query, key, value = (x.unflatten(2, (self.heads, -1)).transpose(1, 2) for x in (query, key, value))
        pooled = nn.functional.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.to_out(pooled.transpose(1, 2).flatten(1))
        return out


class Conch(nn.Module):
    """Transformer, pooler and normalisation, with the names of the published weights."""

    def __init__(self, trunk: nn.Module, width: int, heads: int) -> None:
        super().__init__()
        self.trunk = trunk
        tokens_width = int(trunk.num_features)  # type: ignore[arg-type]
        self.attn_pool_contrast = AttentionalPooler(width, tokens_width, heads)
        self.ln_contrast = nn.LayerNorm(width)

    def forward(self, images: Tensor) -> Tensor:
        """Return the features of normalised images, [B, width]."""
        features: Tensor = self.ln_contrast(self.attn_pool_contrast(self.trunk(images)))
        return features


def make_conch(px: int) -> nn.Module:
    """Create an untrained image encoder of CONCH v1.5 for images of a side in pixels."""
    trunk, _ = make_backbone("timm/vit_large_patch16_224", img_size=px, init_values=1.0, global_pool="")
    return Conch(trunk, width=768, heads=8)
