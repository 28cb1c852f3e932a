"""The exported graph: from raw tiles to features, and to clusters if there is a cluster head."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from wsi_embed.errors import UsageError
from wsi_embed.util.text import argument
from wsi_embed_export.identity import model_digest
from wsi_embed_export.token_pooling import PooledTokens
from wsi_embed_export.trained import TrainedModel

CLUSTERS = ("cluster", "cluster_confidence")
EXTRA = ("projection", "cluster_logits", "tokens")
_LACKS = {
    "projection": "projector",
    "cluster_logits": "cluster head",
    "tokens": "tokens: it is no vision transformer that is pooled by `pooling=`",
}


class TileModel(nn.Module):
    """Resizing, normalisation, backbone and optional cluster head as one module in evaluation mode.

    Batch norms are folded into the convolutions if PyTorch can trace the backbone. With `fp16` the backbone
    has weights and activations in half precision; normalisation, features and heads stay float32.

    Args:
        trained: Networks, normalisation and tile size.
        precision: `fp32` or `fp16`.
        extra: Additional outputs: `projection`, `cluster_logits`, `tokens`.

    Raises:
        UsageError: If the model has no such output.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, trained: TrainedModel, precision: str = "fp32", extra: Sequence[str] = ()) -> None:
        super().__init__()
        self.tile_px, self.precision = trained.tile_px, precision
        self.outputs = _outputs(trained, extra)
        self.dtype = torch.float16 if precision == "fp16" else torch.float32
        self.resize = trained.resize
        backbone = trained.backbone
        self.has_layer_norms = any(isinstance(module, nn.LayerNorm) for module in backbone.modules())
        if isinstance(backbone, PooledTokens) and "tokens" in self.outputs:
            backbone = PooledTokens(backbone.network, backbone.pooling, dense=True)
        self.backbone = _folded(backbone.eval()).to(self.dtype)
        self.head: nn.Sequential | None = None
        self.projector: nn.Module | None = None
        if trained.projector is not None and trained.cluster_head is not None:
            self.head = nn.Sequential(trained.projector, *trained.cluster_head.children()).float()
        elif "projection" in self.outputs:
            self.projector = trained.projector
        # (x / 255 - mean) / std as one multiplication and one addition
        mean, std = (torch.tensor(values, dtype=torch.float64) for values in (trained.mean, trained.std))
        self.register_buffer("scale", (1 / (255 * std)).float().reshape(1, 3, 1, 1))
        self.register_buffer("shift", (-mean / std).float().reshape(1, 3, 1, 1))
        self.eval().requires_grad_(False)

    def forward(self, tiles: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Encode tiles.

        Args:
            tiles: RGB, uint8 [B, tile_px, tile_px, 3].

        Returns:
            The tensors named by `outputs`, in that order: features float32 [B, D]; with a cluster head,
            cluster int64 [B] and cluster_confidence float32 [B]; if requested, projection float32 [B, P],
            cluster_logits float32 [B, K] and tokens float32 [B, H * W, D]. A single output is not wrapped in
            a tuple.
        """
        images = tiles.permute(0, 3, 1, 2).float()
        if self.resize is not None:
            images = self.resize(images)
        images = images * self.scale + self.shift
        encoded = self.backbone(images.to(self.dtype))
        features: Tensor = (encoded[0] if isinstance(encoded, tuple) else encoded).float()
        found = {"features": features}
        if isinstance(encoded, tuple):
            found["tokens"] = encoded[1].float()
        if self.head is not None:
            found["projection"] = self.head[0](features)
            logits = found["cluster_logits"] = self.head[1:](found["projection"])
            found["cluster_confidence"], found["cluster"] = logits.softmax(dim=1).max(dim=1)
        elif self.projector is not None:
            found["projection"] = self.projector(features)
        chosen = tuple(found[name] for name in self.outputs)
        return chosen if len(chosen) > 1 else features

    def digest(self) -> str:
        """Compute the `model_id`, a digest of weights, graph, preprocessing, outputs and precision."""
        return model_digest(self, self.tile_px, {"precision": self.precision, "outputs": self.outputs})


def _outputs(trained: TrainedModel, extra: Sequence[str]) -> tuple[str, ...]:
    there = {
        "projection": trained.projector is not None,
        "cluster_logits": trained.cluster_head is not None,
        "tokens": isinstance(trained.backbone, PooledTokens),
    }
    for name in extra:
        if name not in there:
            raise UsageError(f"choose of {', '.join(EXTRA)}", where=argument("outputs", name))
        if not there[name]:
            raise UsageError(f"this model has no {_LACKS[name]}", where=argument("outputs", name))
    clusters = CLUSTERS if trained.cluster_head is not None else ()
    return ("features", *clusters, *(name for name in EXTRA if name in extra))


def _folded(backbone: nn.Module) -> nn.Module:
    """Fold batch norms into convolutions; return the backbone unchanged if it cannot be traced."""
    try:
        folded: nn.Module = fuse(backbone)
    except Exception:  # the network's code may raise anything for the symbols that stand for its tensors
        return copy.deepcopy(backbone)  # its precision is changed, and the caller keeps the original
    return folded
