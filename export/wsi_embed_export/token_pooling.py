"""Pooling of the tokens of a vision transformer to the features of a tile."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from wsi_embed.errors import UsageError
from wsi_embed.util.text import argument

POOLINGS = ("token", "mean", "token+mean", "map")


class PooledTokens(nn.Module):
    """Features of a vision transformer: its class token, the mean of its patch tokens, or both.

    Registers and other prefix tokens are no patch tokens.

    Args:
        network: Transformer of timm that returns its tokens [B, N, D] after the last normalisation.
        pooling: `token`, `mean` or `token+mean`.
        dense: Whether the patch tokens are returned, too.
    """

    def __init__(self, network: nn.Module, pooling: str, dense: bool = False) -> None:
        super().__init__()
        self.network, self.pooling, self.dense = network, pooling, dense
        self.prefix = int(network.num_prefix_tokens)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return the features of normalised images, and with `dense` their patch tokens.

        Returns:
            Features [B, D], or [B, 2 D] for `token+mean`; patch tokens [B, H * W, D], row by row.
        """
        tokens = self.network(images)
        patches = tokens[:, self.prefix :]
        parts = {"token": lambda: tokens[:, 0], "mean": lambda: patches.mean(dim=1)}
        features = [parts[part]() for part in self.pooling.split("+")]
        pooled = features[0] if len(features) == 1 else torch.cat(features, dim=1)
        return (pooled, patches) if self.dense else pooled


def pooling_arguments(pooling: str | None, keys: Iterable[str]) -> dict[str, Any]:
    """Return the arguments of timm's `create_model` for a pooling.

    Args:
        pooling: One of `POOLINGS`, or None for that of the architecture.
        keys: Names of the weights. With `fc_norm`, means are normalised after pooling.

    Raises:
        UsageError: If there is no such pooling.
    """
    if pooling is None:
        return {}
    if pooling not in POOLINGS:
        raise UsageError(f"choose {', '.join(POOLINGS)}", where=argument("pooling", pooling))
    if pooling == "mean" and any(key.endswith("fc_norm.weight") for key in keys):
        return {"global_pool": "avg"}
    return {"global_pool": "map" if pooling == "map" else ""}


def with_pooling(network: nn.Module, pooling: str | None, name: str) -> nn.Module:
    """Return a network that pools its tokens.

    Args:
        network: Network made with `pooling_arguments`.
        pooling: One of `POOLINGS`, or None for that of the architecture.
        name: Name of the network, for messages.

    Raises:
        UsageError: If the network has no tokens, or lacks the token that is asked for.
    """
    if pooling is None:
        return network
    if not hasattr(network, "num_prefix_tokens"):
        raise UsageError(
            f"{name} does not offer its tokens", where=argument("pooling", pooling), remedy="leave it out"
        )
    if pooling.startswith("token") and getattr(network, "cls_token", None) is None:
        raise UsageError(
            f"{name} has no class token", where=argument("pooling", pooling), remedy="use `mean`"
        )
    unpooled = getattr(network, "global_pool", None) == ""
    return PooledTokens(network, pooling) if unpooled else network
